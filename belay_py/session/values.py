"""Reading values: the text that the encoder on the board wrote becomes Python objects. Nothing is ever `eval`-ed.

`session.encoder` describes the form. What is not in it raises `ProtocolViolation`, wherever it came from.
"""

from __future__ import annotations

import array
import re
import struct
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NoReturn

from belay_py.errors import ProtocolViolation, ValueNotSupported
from belay_py.session.encoder import DEEPEST
from belay_py.text import short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Possessive, so that long strings are walked once.
_PLAIN, _ESCAPE = r"[^{}\\\x00-\x1f]*+", r"\\(?:[\\'\"nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
_QUOTED = "|".join(f"{quote}{_PLAIN.format(quote)}(?:{_ESCAPE}{_PLAIN.format(quote)})*+{quote}" for quote in ("'", '"'))
_TOKEN: Final = re.compile(
    r"(?P<ints>[-0-9a-f,]*,)"
    rf"|(?P<text>{_QUOTED})"
    rf"|(?P<data>[UAM]?b(?:{_QUOTED})(?:\+b(?:{_QUOTED}))*+)"
    r"|(?P<floats>C?[DF][0-9a-f]++,)"
    r"|(?P<word>Non|Tru|Fal|Ell|Not)"
    r"|(?P<open>[\[({<^=]|\*[a-zA-Z])"
    r"|(?P<close>\])"
    r"|(?P<range>range\(-?\d+, -?\d+(?:, -?\d+)?\))"
    rf"|(?P<refused>!(?:{_QUOTED})|~)"
)
_WORDS: Final[dict[str, object]] = {"Non": None, "Tru": True, "Fal": False, "Ell": Ellipsis, "Not": NotImplemented}
_NUMBERS: Final = "bBhHiIlLqQfd"  # MicroPython's arrays may hold objects and pointers too


def read(output: bytes, nonce: str) -> Any:
    """Return the value that the encoder printed last of what an execution wrote.

    Raises `ValueNotSupported` when the board refused it, and `ProtocolViolation` when it did not arrive as it was sent.
    """
    _, begun, rest = output.rpartition(b"~%s:" % nonce.encode())
    body, ended, _ = rest.rpartition(b";%s" % nonce.encode())
    body, counted, count = body.rpartition(b";")
    if not (begun and ended and counted):
        raise ProtocolViolation(
            "the code ran, but its value did not come: has it redefined _belay_v, or the board's standard output? "
            "Delete the name, or restart the board with soft_reset()",
            received=output[-200:],
        )
    try:
        # Halves of surrogate pairs are legal in MicroPython. Boards without Unicode count bytes.
        text = body.decode("utf-8", "surrogatepass")
        if int(count, 16) not in (len(text), len(body)):
            raise ProtocolViolation(
                "something else on the board (a timer, a thread) printed while the value was sent; "
                "the code ran. Silence it, or print and execute() instead",
                received=body[-200:],
            )
        return parse(text)
    except UnicodeDecodeError:
        raise ProtocolViolation("the board's value is not UTF-8; the code ran", received=body[-200:]) from None
    except ValueError:
        raise _unreadable(body) from None


def parse(text: str) -> Any:
    """Return the one value that a text in the encoder's form describes. Raises as `read` does."""
    top: list[Any] = []
    items = top
    opened: list[tuple[str, list[Any]]] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unreadable(text[position:].encode("utf-8", "replace"))
        kind, token, position = match.lastgroup, match[0], match.end()
        try:
            if kind in _SIMPLE:
                items.extend(_SIMPLE[kind](token))
            elif kind == "open":
                if len(opened) == DEEPEST:
                    raise ValueError  # the board refuses that; the recursion of hash and repr is not to be met
                if token[0] == "*" and token[1] not in _NUMBERS:
                    _refuse(f"!'array({token[1]})'", [*opened, ("", items)])
                opened.append((token, items))
                items = []
            elif kind == "close":
                token, outer = opened.pop()
                outer.append(_closed(token, items, [*opened, (token, outer)]))
                items = outer
            else:
                _refuse(token, [*opened, ("", items)])
        except (ValueError, OverflowError, IndexError, struct.error):
            raise _unreadable(token.encode("utf-8", "replace")) from None
    if len(top) != 1 or opened:
        raise _unreadable(text.encode("utf-8", "replace"))
    return top[0]


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    # The characters that Latin-1 lacks become escapes too; the token's pattern has seen to it that all are known ones.
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def _data(token: str) -> str | bytes | bytearray:
    if not token.isascii():
        raise ValueError
    mark, parts = token[0], re.findall(rf"b({_QUOTED})", token)
    data = "".join([_unescaped(part[1:-1]) for part in parts]).encode("latin-1")
    if mark == "U":
        return data.decode("utf-8", "surrogatepass")
    return bytearray(data) if mark == "A" else data


def _floats(token: str) -> tuple[Any, ...]:
    complex_number, token = token[0] == "C", token[token[0] == "C" : -1]
    data = bytes.fromhex(token[1:])
    letter = {"D": "d", "F": "f"}[token[0]]
    numbers = struct.unpack(f">{len(data) // struct.calcsize(letter)}{letter}", data)
    if complex_number:
        real, imaginary = numbers
        return (complex(real, imaginary),)
    return numbers


# What is complete in itself: the items that a token of a kind stands for.
_SIMPLE: Final[dict[str | None, Callable[[str], Iterable[Any]]]] = {
    "ints": lambda token: [int(number, 16) for number in token[:-1].split(",")],
    "text": lambda token: (_unescaped(token[1:-1]),),
    "data": lambda token: (_data(token),),
    "floats": _floats,
    "word": lambda token: (_WORDS[token],),
    "range": lambda token: (range(*map(int, token[6:-1].split(","))),),
}


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ValueError
    found = dict(zip(items[::2], items[1::2], strict=True))
    if len(found) * 2 != len(items):
        raise TypeError
    return found


def _unique(make: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def made(items: list[Any]) -> Any:
        found = make(items)
        if len(found) != len(items):
            raise TypeError
        return found

    return made


_MAKERS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "[": list,
    "(": tuple,
    "{": _pairs,
    "<": _unique(set),
    "^": _unique(frozenset),
    "=": deque,
}


def _closed(token: str, items: list[Any], opened: list[tuple[str, list[Any]]]) -> Any:
    try:
        if token[0] == "*":
            return array.array(token[1], items)
        return _MAKERS[token](items)
    except TypeError:
        # Boards hash what Python does not, and tell keys apart that are equal in Python.
        raise ValueNotSupported(
            f"{_place(opened)} has items that Python cannot keep in that type; "
            "evaluate list(...) of it, or of its items()"
        ) from None


def _refuse(mark: str, opened: list[tuple[str, list[Any]]]) -> NoReturn:
    if mark == "~":
        place = _place(opened)
        raise ValueNotSupported(
            f"{place} is nested more than {DEEPEST} levels deep: does it contain itself? Evaluate the parts you need"
        )
    name = _unescaped(mark[2:-1])
    raise ValueNotSupported(
        f"{_place(opened)} is {_with_article(name)}, which has no form that can be sent; "
        "evaluate str(...) of it, or a tuple of the attributes you need"
    )


def _with_article(name: str) -> str:
    name = short(" ".join(name.split()))  # a program may have called its type anything
    return f"{'an' if name[:1] in tuple('aeiouAEIOU') else 'a'} {name or 'value of a type without a name'}"


def _place(opened: list[tuple[str, list[Any]]]) -> str:
    """Say where the item stands that comes next: each level's mark, and the items which that level stands behind."""
    path = ""
    for (mark, _), (_, items) in pairwise(opened):
        if mark == "{" and len(items) % 2:
            path += f"[{_key(items[-1])}]"
        elif mark in ("{", "<", "^"):
            path += " (a key)" if mark == "{" else " (an element)"
        else:
            path += f"[{len(items)}]"
    return f"item {short(path)}" if path else "the value"


def _key(key: object) -> str:
    try:
        return short(repr(key))
    except ValueError:  # more than 4,300 digits
        return "..."


def _unreadable(received: bytes) -> ProtocolViolation:
    return ProtocolViolation(
        "the board's value could not be read; the code ran. Did something else on the board print meanwhile?",
        received=received[:200],
    )
