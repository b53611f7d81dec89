"""What a scrape says, read by prometheus_client's own parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.parser import text_string_to_metric_families

from belay_py.integrations.prometheus import expose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from belay_py.integrations.prometheus import HasStatistics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def registry_of(manager: HasStatistics) -> CollectorRegistry:
    """Give a registry with one manager's metrics."""
    registry = CollectorRegistry()
    expose(manager, registry=registry)
    return registry


def samples(families: Iterable[Metric]) -> Samples:
    """Give the value of each sample by its name and labels, each of which must be there once."""
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def parsed(text: str) -> Samples:
    """Give what a scrape in Prometheus' text format says."""
    return samples(text_string_to_metric_families(text))


def scrape(manager: HasStatistics) -> Samples:
    """Scrape a manager in both formats, which must say the same."""
    registry = registry_of(manager)
    text = parsed(generate_latest(registry).decode())
    strict = exposition.generate_latest(registry).decode()  # type: ignore[no-untyped-call]  # it has no types
    # OpenMetrics' parser looks at names, units, the order of buckets and what there has to be of each.
    families = parser.text_string_to_metric_families(strict)  # type: ignore[no-untyped-call]  # as above
    assert samples(families).keys() == text.keys()
    return text


def value(found: Samples, name: str, **labels: str) -> float:
    """Give one sample's value."""
    return found[f"belay_{name}", tuple(sorted(labels.items()))]
