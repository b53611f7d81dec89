"""The dashboard and the alert rules ask for metrics, labels and words that there are; so does their page."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from belay_py import DeviceSessionManager, errors
from belay_py.integrations.prometheus import BelayCollector

from .blocks import ROOT
from .test_tables import table_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS: Final = ROOT / "docs"
DASHBOARD: Final = DOCS / "monitoring" / "dashboard.json"
ALERTS: Final = DOCS / "monitoring" / "alerts.yml"
GIVEN_BY_PROMETHEUS: Final = {"instance"}
OUTCOMES: Final = {"ok", "CancelledError", "other"} | {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.BelayError)
}

Exposed = dict[str, set[str]]


@pytest.fixture
async def exposed() -> Exposed:
    """The labels of each sample that a scrape has, by its name, and of each family."""
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("a", "virtual:")
        await session.execute("pass")
        await session.disconnect()
        families = list(BelayCollector(manager).collect())
    found: Exposed = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        if not family.samples:  # those of health checks: none was made yet
            found[family.name] = {"device"}
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for rule in rules():
        yield rule["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


def check(expression: str, exposed: Exposed) -> None:
    """Compare what an expression names with what there is."""
    names = re.findall(r"\bbelay_\w+", expression)
    assert names, expression
    labels = set(GIVEN_BY_PROMETHEUS)
    for name in names:
        assert name in exposed, f"there is no {name}, which is asked for in: {expression}"
        labels |= exposed[name]
    for name, selector in re.findall(r"\b(belay_\w+)\{([^}]*)\}", expression):
        for label, words in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', selector):
            assert label in exposed[name] | GIVEN_BY_PROMETHEUS, f"{name} has no label {label}: {expression}"
            if label == "outcome":
                assert set(words.split("|")) <= OUTCOMES, expression
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert set(re.findall(r"\w+", group)) <= labels, expression
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing), expression


async def test_every_expression_asks_for_what_there_is(exposed: Exposed) -> None:
    found = list(expressions())
    assert len(found) > 20
    for expression in found:
        check(expression, exposed)


async def test_what_is_not_there_is_seen(exposed: Exposed) -> None:
    for wrong in (
        "belay_sesions", 'belay_sessions{device="a"}', "sum by (reason) (belay_sessions)", "up", "(belay_sessions",
        'belay_operations_total{outcome!~"ok|Execution"}',
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            check(wrong, exposed)


def test_the_alerts_are_those_that_were_promised_and_say_what_to_do() -> None:
    found = {rule["alert"]: rule for rule in rules()}
    assert len(found) == len(rules())
    assert "belay_leases_overdue" in found["BelayLeaseLeaked"]["expr"]
    assert "belay_device_quarantined" in found["BelayBoardQuarantined"]["expr"]
    assert ">= 0.9" in found["BelayCapacityNearlyTaken"]["expr"]
    for rule in found.values():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+m", rule.get("for", "0m"))
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert named <= {"instance", "device"}
        grouped = "device" in rule["expr"]
        assert grouped or "device" not in named, rule["alert"]


def test_the_page_names_each_alert() -> None:
    assert [row[0].strip("`") for row in table_rows("monitoring.md", "Alert")] == [rule["alert"] for rule in rules()]


async def test_the_page_names_each_metric(exposed: Exposed) -> None:
    written = {name for row in table_rows("monitoring.md", "Metric") for name in re.findall(r"`(belay_\w+)`", row[0])}
    there = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed if not name.endswith("_created")}
    assert written == there


def test_panels_stand_side_by_side_and_have_their_own_numbers() -> None:
    panels = dashboard()["panels"]
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    taken = {
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    }
    assert len(taken) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in panels)
    assert max(x for x, _ in taken) < 24
