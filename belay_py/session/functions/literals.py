"""Writing values: a value of the host becomes MicroPython source that makes the same one on a board.

The way back is `session.encoder` and `session.values`; what those can bring to the host, this can bring to the board.

Floats that are not whole go as their bytes: MicroPython's reading of decimals is not correctly rounded. Strings of up
to ten characters are made of bytes: as strings, boards would keep each one until they restart (`session.nonces`).
"""

from __future__ import annotations

import array
import math
import struct
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from belay_py.errors import InvalidArguments
from belay_py.session.encoder import DEEPEST
from belay_py.session.errands import kit
from belay_py.text import short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

UNPACK: Final = kit("u", "from struct import unpack as KIT")
"""What floats need on a board."""

_KEPT = 10  # characters of a string that a board keeps
_DECIMAL = 1 << 62  # smaller integers are written in decimal; long decimals take Python and the board quadratic time
_WHOLE = 1 << 24  # whole numbers below are exact in floats of 32 bits too
_WORDS: Final = {None: "None", True: "True", False: "False", ...: "...", NotImplemented: "NotImplemented"}
# Boards cut integers that do not fit in an array's items, without a word. An int and a long have 32 bits there.
_BITS: Final = {"b": 8, "h": 16, "i": 32, "l": 32, "q": 64}
_IMPORT: Final = "__import__({}).{}("


# Where in a value an item stands: in a list, under a key, or a mark.
_Path: TypeAlias = "tuple[int | _Under | str, ...]"


class _Under(NamedTuple):
    key: object


def write(value: Any) -> str:
    """Return an expression for a value, which may use the name of `UNPACK`.

    Raises `InvalidArguments` for what is none of the types of docs/values.md; subclasses of those are not.
    """
    return _write(value, ())


def _write(value: Any, path: _Path) -> str:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise InvalidArguments(
            f"{_place(path)} is a {type(value).__name__}, which has no form that can be sent; pass what it is made of: "
            "numbers, text, bytes, lists, tuples, dicts"
        )
    if len(path) >= DEEPEST and type(value) in _CONTAINERS:
        raise InvalidArguments(
            f"{_place(path)} is nested more than {DEEPEST} levels deep: does it contain itself? Pass the parts"
        )
    return writer(value, path)


def _place(path: _Path) -> str:
    return f"item {short(''.join(map(_step, path)))}" if path else "the value"


def _step(part: int | _Under | str) -> str:
    if not isinstance(part, _Under):
        return f"[{part}]" if isinstance(part, int) else part
    try:
        return f"[{short(repr(part.key))}]"
    except ValueError:  # more than 4,300 digits
        return "[...]"


def _word(value: Any, _path: _Path) -> str:
    return _WORDS[value]


def _int(value: int, _path: _Path) -> str:
    return repr(value) if -_DECIMAL < value < _DECIMAL else hex(value)


def _float(value: float, _path: _Path) -> str:
    if -_WHOLE < value < _WHOLE and value.is_integer():
        return f"{'-' if math.copysign(1, value) < 0 else ''}{abs(int(value))}."
    return f"{_unpacked((value,))}[0]"


def _unpacked(values: Iterable[float]) -> str:
    numbers = tuple(values)
    form = f">{len(numbers)}d" if len(numbers) > 1 else ">d"
    return f"{UNPACK.name}({form.encode()!r},{struct.pack(form, *numbers)!r})"


def _complex(value: complex, path: _Path) -> str:
    if math.copysign(1, value.imag) < 0:  # complex() there adds the imaginary part to 0, so that -0.0 is lost
        return f"-{_complex(-value, path)}"
    return f"complex({_float(value.real, path)},{_float(value.imag, path)})"


def _str(value: str, _path: _Path) -> str:
    if 1 < len(value) <= _KEPT:
        data = value.encode("utf-8", "surrogatepass")
        if not any(0xD800 <= ord(character) < 0xE000 for character in value):
            return f"{data!r}.decode()"
    return repr(value)  # which escapes whatever a REPL would take for itself


def _bytes(value: bytes, _path: _Path) -> str:
    return repr(value)


def _bytearray(value: bytearray, _path: _Path) -> str:
    return f"bytearray({bytes(value)!r})"


def _range(value: range, path: _Path) -> str:
    return f"range({','.join(_int(part, path) for part in (value.start, value.stop, value.step))})"


def _items(values: Iterable[Any], path: _Path) -> str:
    return ",".join([_write(item, (*path, number)) for number, item in enumerate(values)])


def _elements(values: Iterable[Any], path: _Path) -> str:
    return ",".join([_write(item, (*path, " (an element)")) for item in values])


def _are_floats(values: list[Any] | tuple[Any, ...]) -> bool:
    return len(values) > 1 and set(map(type, values)) == {float}


def _list(value: list[Any], path: _Path) -> str:
    return f"list({_unpacked(value)})" if _are_floats(value) else f"[{_items(value, path)}]"


def _tuple(value: tuple[Any, ...], path: _Path) -> str:
    if _are_floats(value):
        return _unpacked(value)
    return f"({_items(value, path)}{',' * (len(value) == 1)})"


def _pairs(value: dict[Any, Any], path: _Path, between: str) -> list[str]:
    return [
        _write(key, (*path, " (a key)")) + between + _write(item, (*path, _Under(key))) for key, item in value.items()
    ]


def _dict(value: dict[Any, Any], path: _Path) -> str:
    return f"{{{','.join(_pairs(value, path, ':'))}}}"


def _ordered(value: OrderedDict[Any, Any], path: _Path) -> str:
    pairs = ",".join(f"({pair})" for pair in _pairs(value, path, ","))
    return f"{_IMPORT.format(repr('collections'), 'OrderedDict')}[{pairs}])"


def _set(value: set[Any], path: _Path) -> str:
    return f"{{{_elements(value, path)}}}" if value else "set()"


def _frozenset(value: frozenset[Any], path: _Path) -> str:
    return f"frozenset([{_elements(value, path)}])"


def _deque(value: deque[Any], path: _Path) -> str:
    # Boards know no deque without a maximal length. One that is full raises (the 1) rather than forgets.
    limit = f"{max(len(value), 1)},1" if value.maxlen is None else f"{value.maxlen}"
    return f"{_IMPORT.format(repr('collections'), 'deque')}[{_items(value, path)}],{limit})"


def _array(value: array.array[Any], path: _Path) -> str:
    code = value.typecode
    if code in "fd":
        items = _unpacked(value) if value else "()"
    elif code.lower() in _BITS:
        bits = _BITS[code.lower()]
        lowest, highest = (-1 << bits - 1, 1 << bits - 1) if code.islower() else (0, 1 << bits)
        if any(not lowest <= item < highest for item in value):
            raise InvalidArguments(
                f"{_place(path)} is an array({code!r}) with an integer of more than {bits} bits, which boards would "
                "cut; pass a list, or an array('q')"
            )
        items = f"[{','.join(map(repr, value))}]"
    else:
        raise InvalidArguments(f"{_place(path)} is an array({code!r}), which boards do not have; pass text")
    return f"{_IMPORT.format(repr('array'), 'array')}{code!r},{items})"


_CONTAINERS: Final = frozenset((list, tuple, dict, OrderedDict, set, frozenset, deque, array.array))
_WRITERS: Final[dict[type, Callable[[Any, _Path], str]]] = {
    **dict.fromkeys(map(type, _WORDS), _word),
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    bytes: _bytes,
    bytearray: _bytearray,
    range: _range,
    list: _list,
    tuple: _tuple,
    dict: _dict,
    OrderedDict: _ordered,
    set: _set,
    frozenset: _frozenset,
    deque: _deque,
    array.array: _array,
}
