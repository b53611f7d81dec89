"""Where a value is from agrees with what it is."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from belay_py.settings.merging import merge, overlay
from belay_py.settings.sources import leaves

_KEYS = st.sampled_from("abc")
_TREES = st.dictionaries(
    _KEYS,
    st.recursive(st.integers(0, 9), lambda inner: st.dictionaries(_KEYS, inner, max_size=3), max_leaves=6),
    max_size=3,
)


@given(st.lists(_TREES, min_size=1, max_size=3))
@example([{"a": {"b": 1}}, {"a": {}}])
@example([{"a": {}}, {"a": {"b": 1}}])
@example([{"a": 1}, {"a": {"b": 1}}])
@example([{"a": {"b": 1}}, {"a": 1}])
def test_the_ways_that_are_left_are_those_of_the_merged_tree(trees: list[dict[str, Any]]) -> None:
    ways: dict[tuple[str, ...], Any] = {}
    for tree in trees:
        overlay(ways, leaves(tree), tree)
    assert ways == leaves(merge(*trees))
