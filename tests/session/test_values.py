"""Values come back as they are on the board: every type that can be sent, to the bit, and an error for the rest."""

from __future__ import annotations

import array
import math
import struct
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py import ExecutionError, ProtocolViolation, ValueNotSupported
from belay_py.session import encoder
from belay_py.sync import DeviceSession as BlockingSession

if TYPE_CHECKING:
    from collections.abc import Iterator

SETUP = """
import struct
from array import array
from collections import OrderedDict, deque
def f(data):
    return struct.unpack('>d', data)[0]
"""


@pytest.fixture(scope="module", params=["direct_board", "pty_board"])
def session(request: pytest.FixtureRequest) -> Iterator[BlockingSession]:
    with BlockingSession(request.getfixturevalue(request.param).port) as session:
        session.execute(SETUP)
        yield session


def source(value: Any) -> str:  # noqa: PLR0911  a case for each type
    """The value in MicroPython; decimal floats are not read to the last bit there."""
    match value:
        case float():
            return f"f({struct.pack('>d', value)!r})"
        case complex():
            return f"complex({source(value.real)}, {source(value.imag)})"
        case str():
            return ascii(value)
        case list():
            return f"[{', '.join(map(source, value))}]"
        case tuple():
            return f"({''.join(source(item) + ', ' for item in value)})"
        case dict():
            # In order, which a MicroPython dict does not promise.
            return f"OrderedDict([{', '.join(f'({source(k)}, {source(v)})' for k, v in value.items())}])"
        case set() | frozenset():
            return f"{type(value).__name__}([{', '.join(map(source, value))}])"
        case deque():
            return f"deque([{', '.join(map(source, value))}], {len(value) + 1})"
        case array.array():
            return f"array({value.typecode!r}, [{', '.join(map(source, value))}])"
        case _:
            return repr(value)


def same(one: Any, other: Any) -> bool:  # noqa: PLR0911  the same
    """Whether two values are of the same types and the same bits, in the same order."""
    if type(one) is not type(other):
        return False
    match one:
        case float():
            return struct.pack(">d", one) == struct.pack(">d", other)
        case complex():
            return same(one.real, other.real) and same(one.imag, other.imag)
        case list() | tuple() | deque():
            return len(one) == len(other) and all(map(same, one, other))
        case array.array():
            return bool(one.typecode == other.typecode) and same(list(one), list(other))
        case dict():
            return same(list(one.items()), list(other.items()))
        case _:
            return bool(one == other)


any_floats = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack(">d", bits.to_bytes(8, "big"))[0])
texts = st.text(st.characters(exclude_categories=()), max_size=20) | st.text("aé€😀\n'\"\\", min_size=195, max_size=410)
binaries = st.binary(max_size=20) | st.binary(min_size=195, max_size=410)
keys = st.none() | st.integers(-(2**70), 2**70) | texts | binaries | st.tuples(st.integers(), st.text(max_size=3))
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**300), 2**300)
    | st.floats()
    | any_floats
    # MicroPython's complex() adds the imaginary part to 0, so that -0.0 cannot be made there (tried).
    | st.builds(complex, st.floats(), st.floats().map(lambda part: part + 0.0))
    | texts
    | binaries
    | binaries.map(bytearray)
    | st.builds(range, st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 9) | st.integers(-9, -1))
    | st.sampled_from([..., NotImplemented])
    | st.builds(array.array, st.sampled_from("bhiq"), st.lists(st.integers(-128, 127)))
    | st.builds(array.array, st.just("d"), st.lists(st.floats()))
    | st.lists(st.integers(-(2**70), 2**70), max_size=50)
    | st.lists(any_floats, max_size=50)
    | st.sets(keys, max_size=5)
    | st.frozensets(keys, max_size=5)
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.lists(inner, max_size=5).map(deque)
        | st.dictionaries(keys, inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(value=anything)
def test_any_value_comes_back_as_it_is(session: BlockingSession, value: Any) -> None:
    assert same(session.evaluate(source(value)), value)


@pytest.mark.parametrize(
    "value",
    [0, -1, 2**31, -(2**31) - 1, 1 << 4000, 0.0, -0.0, math.inf, -math.inf, 5e-324, sys.float_info.max, "", b""]
    + [[], (), {}, set(), frozenset(), deque(), bytearray(), range(0), (1,), [[]], ((), [{}]), [None, True, False]]
    + ["x" * length for length in (199, 200, 201, 399, 400, 401, 600, 50_000)]
    + ["é" * 200, "\ud800", "\x00\x1f\x7f\x80\x9f\xa0", b"'\"" * 300, [True, 1, 1.0], list(range(-50, 50)), [1.5] * 41],
    ids=lambda value: ascii(value)[:30],
)
def test_values_at_the_edges(session: BlockingSession, value: Any) -> None:
    assert same(session.evaluate(source(value)), value)


def test_the_bits_of_nan(session: BlockingSession) -> None:
    for bits in (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF800000000BEEF, 0x7FF0000000000001):
        data = bits.to_bytes(8, "big")
        assert struct.pack(">d", session.evaluate(f"f({data!r})")) == data
        assert struct.pack(">d", session.evaluate(f"[f({data!r}), 1.0]")[0]) == data


def test_types_that_come_back_as_another(session: BlockingSession) -> None:
    assert same(session.evaluate("memoryview(b'abc')[1:]"), b"bc")
    assert same(session.evaluate("memoryview(array('H', [1, 2]))"), b"\x01\x00\x02\x00")
    assert same(session.evaluate("OrderedDict([(2, 'b'), (1, 'a')])"), {2: "b", 1: "a"})


def test_a_hundred_thousand_items(session: BlockingSession) -> None:
    assert session.evaluate("list(range(100_000))", timeout=60) == list(range(100_000))
    assert session.evaluate("['a', 1] * 50_000", timeout=60) == ["a", 1] * 50_000


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("len", "the value is a function, which .* evaluate str"),
        ("__import__('machine').Pin(2)", "the value is a Pin, "),
        ("[1, 2, {'x': __import__('machine').Pin(2)}]", r"item \[2\]\['x'\] is a Pin, "),
        ("(1.0, [b'', [int]])", r"item \[1\]\[1\]\[0\] is a type, "),
        ("{1: {}, len: 2}", r"item  \(a key\) is a function, "),
        ("{(1, len)}", r"item  \(an element\)\[1\] is a function, "),
        ("type('Mine', (int,), {})(5)", "the value is a Mine, "),
        ("type('Mine', (list,), {})()", "the value is a Mine, "),
        ("__import__('collections').namedtuple('Point', 'x y')(1, 2)", "the value is a Point, "),
        ("type('Liar', (), {'__repr__': lambda self: '[1, 2]'})()", "the value is a Liar, "),
        ("type('~', (), {})()", "the value is a ~, "),
        ("(n for n in [])", "the value is a generator, "),
        ("ValueError('x')", "the value is a ValueError, "),
        ("array('O', [1])", r"the value is an array\(O\), "),
    ],
)
def test_what_has_no_form_is_named_with_its_place(session: BlockingSession, expression: str, message: str) -> None:
    with pytest.raises(ValueNotSupported, match=message):
        session.evaluate(expression)
    assert session.evaluate("1") == 1


def test_nesting_has_a_limit_that_its_error_names(session: BlockingSession) -> None:
    deep: list[Any] = []
    for _ in range(encoder.DEEPEST - 1):
        deep = [deep]
    session.execute(f"deep = []\nfor _ in range({encoder.DEEPEST - 1}): deep = [deep]\nloop = {{}}\nloop['me'] = loop")
    assert session.evaluate("deep") == deep
    with pytest.raises(ValueNotSupported, match="more than 100 levels deep"):
        session.evaluate("[deep]")
    with pytest.raises(ValueNotSupported, match=r"\['me'\]\['me'\].* does it contain itself"):
        session.evaluate("loop")


@pytest.mark.parametrize(
    "printing",
    [
        "print('aside')",
        "print('aside', end='')",
        "print('~0:1,;2;0', end='')",
        "print('\\x04\\x04>', end='')",
        "print('\\x04Traceback\\r\\nNameError: _belay_v\\r\\n\\x04>', end='')",
        "print(';2;', end='')",
        "__import__('sys').stdout.buffer.write(bytes(range(256)))",
    ],
)
def test_what_the_code_prints_does_not_matter(session: BlockingSession, printing: str) -> None:
    assert session.evaluate(f"[{printing}, 7][1]") == 7
    assert session.evaluate(f"{printing}\n'~'") == "~"


def test_a_program_that_redefines_what_the_encoder_uses(session: BlockingSession) -> None:
    names = ("print", "len", "type", "repr", "iter", "next", "set", "map", "int", "max", "range", "bytes", "pack", "v")
    session.execute("\n".join(f"{name} = None" for name in names))
    try:
        value = [1, "a" * 500, b"x", {"y": (1.5, None)}, [1, 2], [1.5, 2.5]]
        assert session.evaluate(repr(value)) == value
    finally:
        session.execute("\n".join(f"del {name}" for name in names))


def test_no_name_is_left_among_the_programs_own(session: BlockingSession) -> None:
    assert [name for name in session.evaluate("list(globals())") if "belay" in name] == []


def test_a_program_that_takes_the_encoders_name(session: BlockingSession) -> None:
    assert session.evaluate("1") == 1
    for taken, error in (("print", ProtocolViolation), ("lambda *a: None", ProtocolViolation), ("5", ExecutionError)):
        session.execute(f"_belay_v = {taken}")
        with pytest.raises(error):
            session.evaluate("1")
        session.execute("del _belay_v")
        assert session.evaluate("1") == 1
    session.execute("del __import__('builtins')._belay_v\nran = 0")
    epoch = session.boot_epoch
    assert session.evaluate("ran += 1\nran") == 1
    assert session.boot_epoch == epoch
