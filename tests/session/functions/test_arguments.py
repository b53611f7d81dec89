"""Arguments get to the board as they are, and results back: to the bit, and whatever is none is refused before."""

from __future__ import annotations

import array
import math
import struct
import sys
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py import InvalidArguments
from belay_py.session.encoder import DEEPEST
from belay_py.sync import DeviceSession as BlockingSession

from ..test_values import anything, leaves, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Identity = Callable[[Any], Any]


def identity(value: Any) -> Any:
    return value


@pytest.fixture(scope="module", params=["direct_board", "pty_board"])
def there_and_back(request: pytest.FixtureRequest) -> Iterator[Identity]:
    with BlockingSession(request.getfixturevalue(request.param).port) as session:
        yield session.task(identity)


def alike(one: Any, other: Any) -> bool:
    """As `same`, but for the order of dicts, which boards do not keep."""
    if type(one) is not type(other):
        return False
    match one:
        case dict():
            return one.keys() == other.keys() and all(alike(value, other[key]) for key, value in one.items())
        case list() | tuple() | deque():
            return len(one) == len(other) and all(map(alike, one, other))
        case _:
            return same(one, other)


@settings(deadline=None, max_examples=100)
@given(value=anything)
def test_any_value_comes_back_as_it_is(there_and_back: Identity, value: Any) -> None:
    assert alike(there_and_back(value), value)


EDGES: list[Any] = [
    *[0, -1, 2**62, -(2**62), 2**63, 1 << 4000, -(1 << 20_000), True, None, ..., NotImplemented],
    *[0.0, -0.0, 1.0, -16777215.0, 16777216.0, 0.5, 0.1, 1e22, math.inf, -math.inf, 5e-324, sys.float_info.max],
    *[complex(-0.0, 0.0), complex(0.0, -0.0), complex(-1.5, -0.0), complex(math.inf, -math.inf)],
    *[
        "",
        "a",
        "é",
        "ab",
        "\x00\x03\x04",
        "\x03" * 11,
        "\ud800",
        "\ud800 and more",
        "'\"\\\n\r\t",
        "😀" * 10,
        "x" * 5000,
    ],
    *[b"", b"\x00\x01\x02\x03\x04", bytes(range(256)), bytearray(b"\x04"), "\x7f\x80\x9f\xa0\u2028"],
    *[[], (), {}, set(), frozenset(), deque(), (1,), [[]], {(): [{}]}, {None: 1, True: 2, "k": 3, b"k": 4}],
    *[range(0), range(5, -5, -3), [1.5] * 41, (0.1, 0.2), [0.1], [0.1, 1], array.array("d", [0.1]), array.array("d")],
    *[array.array("b", [-128, 127]), array.array("I", [2**32 - 1]), array.array("q", [-(2**63)])],
]


def named(value: Any) -> str:
    return "a long one" if isinstance(value, int) and abs(value) > 1 << 5000 else ascii(value)[:30]


@pytest.mark.parametrize("value", EDGES, ids=named)
def test_values_at_the_edges(there_and_back: Identity, value: Any) -> None:
    assert alike(there_and_back(value), value)


def test_the_bits_of_nan(there_and_back: Identity) -> None:
    for bits in (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF800000000BEEF):
        [value] = struct.unpack(">d", bits.to_bytes(8, "big"))
        assert struct.pack(">d", there_and_back(value)) == bits.to_bytes(8, "big")
        assert struct.pack(">d", there_and_back((value, 1.0))[0]) == bits.to_bytes(8, "big")


def test_the_order_of_an_ordered_dict(there_and_back: Identity) -> None:
    assert list(there_and_back(OrderedDict((n, -n) for n in range(50, 0, -1))).items()) == [
        (n, -n) for n in range(50, 0, -1)
    ]


def test_nesting_has_a_limit(there_and_back: Identity) -> None:
    deep: list[Any] = []
    for _ in range(DEEPEST - 1):
        deep = [deep]
    assert there_and_back(deep) == deep
    with pytest.raises(InvalidArguments, match="more than 100 levels deep"):
        there_and_back([deep])


def everything(a: Any, b: Any = 2, /, c: Any = (3.5,), *rest: Any, d: Any, e: Any = "e", **others: Any) -> Any:
    return a, b, c, rest, d, e, others


@settings(deadline=None, max_examples=100)
@given(
    args=st.lists(leaves, min_size=1, max_size=6),
    d=leaves,
    others=st.dictionaries(
        st.text(min_size=1, max_size=12).filter(lambda key: key not in set("abcde")) | st.just("class"),
        leaves,
        max_size=4,
    ),
)
def test_arguments_get_where_python_would_put_them(
    everywhere: Callable[..., Any], args: list[Any], d: Any, others: dict[str, Any]
) -> None:
    assert alike(everywhere(*args, d=d, **others), everything(*args, d=d, **others))


@pytest.fixture(scope="module")
def everywhere(direct_board: Any) -> Iterator[Callable[..., Any]]:
    with BlockingSession(direct_board.port) as session:
        yield session.task(everything)
