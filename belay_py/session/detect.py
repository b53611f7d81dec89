"""What is at a port: asked once, without a session, and everything closed again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from belay_py.errors import ProtocolViolation
from belay_py.options import DeviceSessionOptions
from belay_py.options.checks import FINITE, require
from belay_py.session import question
from belay_py.session.channel import Channel
from belay_py.session.connection import failure_of, open_port
from belay_py.session.heard import guess
from belay_py.session.outcomes import Expired, LinkLost

if TYPE_CHECKING:
    from belay_py.session.info import BoardInfo

DeviceKind: TypeAlias = Literal["micropython", "circuitpython", "other", "silent"]

TIMEOUT: Final = 5.0
"""Seconds: a Ctrl-C takes up to 3 until it is heard, and a board that was reset by the opening boots in about 2."""

_NAMES: Final[dict[str, tuple[DeviceKind, str]]] = {
    "micropython": ("micropython", "MicroPython"),
    "circuitpython": ("circuitpython", "CircuitPython"),
}
_KEPT = 1024  # bytes of what came: several lines of any prompt or sentence
_LONGEST_TIMEOUT = 1e9  # seconds that every clock can hold


@dataclass(frozen=True, slots=True)
class Detection:
    """What is at a port."""

    kind: DeviceKind
    """``other`` sent something and has no prompt of MicroPython's; ``silent`` sent nothing."""
    info: BoardInfo | None
    """What a board said about itself."""
    heard: bytes
    """The last bytes that came, at most 1,024, when it is ``other``."""
    description: str
    """One line for people."""


async def detect(port: str | DeviceSessionOptions, *, timeout: float = TIMEOUT, **options: Any) -> Detection:
    """Tell what is at a port, and close the port again.

    It is asked as `DeviceSession.connect` asks: the port is opened, Ctrl-C is sent, and the raw REPL is entered,
    without a reset. **A program that runs on a board is interrupted**, and the board is left at its friendly prompt.
    Something else gets these bytes too. CircuitPython answers the same way and is told by its name.

    ``timeout`` is seconds for opening and asking; what answers as a board does takes a fraction of a second, anything
    else the whole time. Closing comes on top, a tenth of a second on real ports. ``options`` are those of
    `DeviceSessionOptions`, of which ``connection_timeout`` does not count here.

    Raises `DeviceNotFound`, `DeviceBusy` or `ConnectionFailed` for a port that cannot be opened, or is lost meanwhile,
    and `SettingsError`.
    """
    settings = DeviceSessionOptions.build(port, options)
    require("timeout", timeout, FINITE)
    deadline = asyncio.get_running_loop().time() + min(timeout, _LONGEST_TIMEOUT)
    channel = _Recording(settings)
    try:
        await open_port(settings, channel, deadline)
        board = await _ask(channel, deadline)
    except LinkLost as error:
        failure = failure_of(error, settings, channel, timeout, at_prompt=False)
        assert failure is not None  # a link that is lost is one
        raise failure from failure.__cause__
    finally:
        channel.close()
        await channel.closed()
    if board is not None:
        return _of_board(board, channel.heard)
    if channel.heard:
        return Detection("other", None, channel.heard, guess(channel.heard))
    return Detection(
        "silent",
        None,
        b"",
        f"no answer within {timeout:g} s: nothing is there, or it hangs, or {settings.baudrate} is not its baudrate",
    )


class _Recording(Channel):
    """A conversation of which the latest input is kept, whatever it was taken for."""

    def __init__(self, options: DeviceSessionOptions) -> None:
        how = options.communication
        super().__init__(chunk=how.chunk, pace=how.pace, on_lost=lambda *_: None)
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard = (self.heard + data)[-_KEPT:]
        super().data_received(data)


async def _ask(channel: Channel, deadline: float) -> BoardInfo | None:
    """Return what a board says about itself, or None for what is none, or cannot tell. Raises `LinkLost`."""
    try:
        about = (await question.ask(channel, deadline)).about
    except (Expired, ProtocolViolation):
        return None
    return None if about is None else about.board


def _of_board(board: BoardInfo, heard: bytes) -> Detection:
    kind, name = _NAMES.get(board.implementation, ("other", board.implementation))
    version = ".".join(map(str, board.version))
    machine = board.machine or board.platform
    # Words of the board may hold line breaks.
    description = " ".join(f"{name} {version}{f' on {machine}' if machine else ''}".split())
    return Detection(kind, board, heard if kind == "other" else b"", description)
