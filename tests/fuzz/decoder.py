"""Everything that makes objects of what a board, or a file, says: fed arbitrary bytes.

The first byte of the input chooses the reader, the rest is what it reads. Each may raise what it says it raises, in one
line, and nothing else.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belay_py.errors import BelayError, ProtocolViolation, SettingsError, UnexpectedValue, ValueNotSupported
from belay_py.session import heard, info, values, vitals
from belay_py.session.returns import validator
from belay_py.session.tracebacks import Source, execution_error, is_keyboard_interrupt, is_unprepared, locate
from belay_py.text import TextDecoder, shown, to_text
from belay_py.transports.traces import read_trace

if TYPE_CHECKING:
    from collections.abc import Callable

NONCE = "0123456789a"
_LONG = re.compile(rb"\d{5}")
RETURNS: tuple[Any, ...] = (int, float, str, bytes, list[int], dict[str, float], tuple[int, str], set[int], int | None)


@contextlib.contextmanager
def only(*allowed: type[BelayError]) -> Any:
    """Let errors of these classes pass, if they are one line."""
    try:
        yield
    except allowed as error:
        words = str(error)
        if type(error) not in allowed or not words.strip() or "\n" in words:
            raise AssertionError(f"{type(error).__name__}: {words!r}") from error


def value(data: bytes) -> None:
    """A value, framed as the encoder does, so that its count is right."""
    try:
        count = len(data.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        count = len(data)
    _value(b"~%s:%s;%x;%s" % (NONCE.encode(), data, count, NONCE.encode()))


def unframed_value(data: bytes) -> None:
    """What an execution wrote, which may hold a value."""
    _value(data)


def _value(output: bytes) -> None:
    with only(ProtocolViolation, ValueNotSupported):
        found = values.read(output, NONCE)
        shown(found)
        if b"range(" in output and _LONG.search(output):
            return  # making a list of it is what the caller asks for then, and takes as long as the range says
        for returns in RETURNS:
            with only(UnexpectedValue):
                validator(returns)(found)


def about(data: bytes) -> None:
    """What a board says about itself."""
    with only(ProtocolViolation):
        board, _ = info.parse(data, raw_paste=True, window=128)
        assert all(isinstance(part, int) for part in board.version)
        for text in (board.implementation, board.platform, board.machine, board.unique_id, board.byteorder):
            assert text is None or isinstance(text, str)
        for number in (board.mpy, board.capabilities.float_bits):
            assert number is None or isinstance(number, int)
        if board.heap is not None:
            assert isinstance(board.heap.free + board.heap.allocated, int)


def how_it_is(data: bytes) -> None:
    """What a board says of its heap and files."""
    with only(ProtocolViolation):
        found = vitals.parse(data)
        for number in (found.heap_allocated, found.storage_size, found.storage_free):
            assert number is None or isinstance(number, int)


def error(data: bytes) -> None:
    """A traceback."""
    made = execution_error(data, b"")
    assert made.type
    source = Source(("def f():", "    return [g() for g in x]", "f()"), file="host.py", host_lines=(7, 8, 9))
    locate(made, source)
    locate(made, Source((to_text(data),)))
    is_keyboard_interrupt(data)
    is_unprepared(data)


@lru_cache(maxsize=1)
def _file() -> Path:
    folder = Path("/dev/shm")
    with tempfile.NamedTemporaryFile(delete=False, dir=folder if folder.is_dir() else None) as file:
        return Path(file.name)


def trace(data: bytes) -> None:
    """The file of a trace."""
    _file().write_bytes(data)
    with only(SettingsError):
        for link in read_trace(_file()):
            assert isinstance(link.port, str)
            link.sent_by("host")
            for piece in link.pieces:
                assert piece.sender in ("host", "board")
                assert isinstance(piece.at, int | float)


def text(data: bytes) -> None:
    """Text in pieces is the same text."""
    decoder = TextDecoder()
    sizes = [1 + byte % 7 for byte in data[:16]] or [1]
    pieces, at, turn = "", 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces += decoder.decode(data[at : at + size])
        at, turn = at + size, turn + 1
    assert pieces + decoder.decode(b"", final=True) == to_text(data)


def noise(data: bytes) -> None:
    """What came from a port that is no board's."""
    if data:
        assert "\n" not in heard.guess(data)


READERS: tuple[Callable[[bytes], None], ...] = (
    value,
    unframed_value,
    about,
    how_it_is,
    error,
    trace,
    text,
    noise,
)


def run(data: bytes) -> None:
    """Read once. Raises whatever is wrong."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])


def clean_up() -> None:
    """Remove the file that `trace` writes."""
    if _file.cache_info().currsize:
        _file().unlink(missing_ok=True)


def seeds() -> list[bytes]:
    """Something right for each reader, to begin with."""
    told = [
        b"1f,-a,", b"'a\\n\\x41\\u20ac'", b'"it\'s"', b"b'a\\x00'+b'b'", b"Ub'\\xe2\\x82\\xac'", b"Ab'x'", b"Mb'y'",
        b"D3ff0000000000000,", b"F3f8000003f800000,", b"CF3f8000003f800000,", b"Non", b"Tru", b"[1,2,[3,](4,)]",
        b"{'a'1,'b'Fal]", b"<1,2,]", b"^1,]", b"=1,2,]", b"*H1,2,]", b"range(0, 5)", b"range(0, 9, -2)", b"!'Pin'",
        b"~", b"[[!'Pin']]", b"*O1,]",
    ]  # fmt: skip
    board = (
        b"{'n': 'micropython', 'v': (1, 29, 0), 'm': 'a board', 'p': 'rp2', 'x': 4870, 'e': 'little', 'u': 'e660',"
        b" 'h': (200000, 3000), 'f': 32, 'b': True, 'o': False, 'q': True}\r\n"
    )
    errors = [
        b'Traceback (most recent call last):\r\n  File "<stdin>", line 3, in f\r\nValueError: bad\r\n',
        b'Traceback (most recent call last):\r\n  File "<stdin>", line 3, in <module>\r\nOSError: [Errno 2] ENOENT\r\n',
        b"MemoryError: memory allocation failed, allocating 9 bytes\r\n",
        b"Traceback (most recent call last):\r\nKeyboardInterrupt: \r\n",
    ]
    traces = (
        b'{"t": 0.0, "link": "5f", "event": "opened", "port": "memory:1", "at": "x", "baudrate": 1}\n'
        b'{"t": 0.1, "link": "5f", "from": "host", "data": "\\r\\u0003"}\n{"t": 0.2, "link": "5f", "event": "closed"}\n'
    )
    found = [bytes([0]) + told_one for told_one in told]
    found += [b"\x01noise~%s:%s;%x;%s" % (NONCE.encode(), one, len(one), NONCE.encode()) for one in told[:4]]
    found += [b"\x02" + board, b"\x03{'a': 1, 's': (10, 5)}\n", b"\x05" + traces]
    found += [b"\x04" + one for one in errors]
    found += [b"\x06a\r\n\xe2\x82\xac\r", b"\x07$GPGGA,1*5F\r\n", b"\x07login: "]
    return found
