"""Small changes to a compiled wasm module: more exports, a longer table, other bodies for some functions.

Just enough of the binary format (https://webassembly.github.io/spec/core/binary/) to leave everything else byte for
byte as it was. Function indices do not move, because nothing is inserted before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEADER = b"\0asm\x01\0\0\0"
_TABLE, _EXPORT, _CODE = 4, 7, 10
_END = 0x0B


def leb(value: int) -> bytes:
    """Encode an unsigned integer as LEB128."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def sleb(value: int) -> bytes:
    """Encode a signed integer as LEB128, as ``i32.const`` wants it."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        done = (value == 0 and not byte & 0x40) or (value == -1 and bool(byte & 0x40))
        out.append(byte | (0 if done else 0x80))
        if done:
            return bytes(out)


def unleb(data: bytes, at: int) -> tuple[int, int]:
    """Decode an unsigned LEB128 integer; give it and the offset after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def forward_to_table(slot: int, type_index: int, parameters: int) -> bytes:
    """Build a function body that calls the table's entry `slot` with its own arguments."""
    arguments = b"".join(b"\x20" + leb(n) for n in range(parameters))
    return b"\0" + arguments + b"\x41" + sleb(slot) + b"\x11" + leb(type_index) + b"\0" + bytes([_END])


def patch(
    module: bytes, *, exports: Mapping[str, int], bodies: Mapping[int, bytes], imported: int, table_size: int
) -> bytes:
    """Give back `module` with functions exported by index, `bodies` replaced, and its table `table_size` long.

    `imported` is the number of imported functions, which come first in the index space.
    """
    out = bytearray(_HEADER)
    for section, content in _sections(module):
        if section == _EXPORT:
            content = _more_exports(content, exports)  # noqa: PLW2901  the section's new content
        elif section == _TABLE:
            content = b"\x01\x70\x01" + leb(table_size) * 2  # noqa: PLW2901
        elif section == _CODE:
            content = _other_bodies(content, {index - imported: body for index, body in bodies.items()})  # noqa: PLW2901
        out += bytes([section]) + leb(len(content)) + content
    return bytes(out)


def _sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    if module[:8] != _HEADER:
        raise ValueError("not a wasm module")
    at = len(_HEADER)
    while at < len(module):
        section = module[at]
        size, at = unleb(module, at + 1)
        yield section, module[at : at + size]
        at += size


def _more_exports(content: bytes, exports: Mapping[str, int]) -> bytes:
    count, at = unleb(content, 0)
    added = b"".join(leb(len(name)) + name.encode() + b"\0" + leb(index) for name, index in exports.items())
    return leb(count + len(exports)) + content[at:] + added


def _other_bodies(content: bytes, bodies: Mapping[int, bytes]) -> bytes:
    count, at = unleb(content, 0)
    out = bytearray(leb(count))
    for index in range(count):
        size, at = unleb(content, at)
        body = bodies.get(index, content[at : at + size])
        out += leb(len(body)) + body
        at += size
    return bytes(out)
