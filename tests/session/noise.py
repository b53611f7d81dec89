"""A wire that damages one byte: between a session and a virtual board, in this process, at an offset that a test says.

The ports are ``noisy:NAME``; each has a virtual board of its own behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from belay_py import transports

if TYPE_CHECKING:
    from belay_py.transports import LinkOptions, Receiver, Transport

Direction = Literal["to_board", "from_board"]


@dataclass
class Lane:
    """One direction. ``position`` counts its bytes since `arm`; at ``at`` the byte is replaced."""

    position: int = 0
    at: int = -1
    value: bytes | int = b""
    """What comes instead of the byte: bytes, or a number to exclusive-or it with; `TWICE` is the byte twice."""
    sent: bytearray = field(default_factory=bytearray)
    struck: bool = False

    def arm(self, at: int, value: bytes | int) -> None:
        self.position, self.at, self.value, self.struck = 0, at, value, False
        self.sent.clear()

    def pass_through(self, data: bytes) -> bytes:
        start, self.position = self.position, self.position + len(data)
        self.sent += data
        if not start <= self.at < self.position:
            return data
        place = self.at - start
        old = data[place]
        new = self.value if isinstance(self.value, bytes) else bytes([old ^ self.value])
        if new == TWICE:
            new = bytes([old, old])
        self.struck = new != bytes([old])
        return data[:place] + new + data[place + 1 :]


TWICE = b"twice"
LOST = b""


class Noise:
    """The two lanes of one port."""

    def __init__(self) -> None:
        self.to_board = Lane()
        self.from_board = Lane()

    def arm(self, direction: Direction, at: int, value: bytes | int) -> None:
        """Damage the byte ``at`` of a direction, counted from now on, once."""
        self.to_board.arm(-1, b"")
        self.from_board.arm(-1, b"")
        getattr(self, direction).arm(at, value)


class _Receiver:
    def __init__(self, receiver: Receiver, noise: Noise) -> None:
        self._receiver = receiver
        self._noise = noise

    def connection_made(self, transport: Transport) -> None:
        self._receiver.connection_made(_Transport(transport, self._noise))

    def data_received(self, data: bytes) -> None:
        if data := self._noise.from_board.pass_through(data):
            self._receiver.data_received(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiver, name)


class _Transport:
    def __init__(self, transport: Transport, noise: Noise) -> None:
        self._transport = transport
        self._noise = noise

    def write(self, data: bytes) -> None:
        if data := self._noise.to_board.pass_through(bytes(data)):
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def install() -> dict[str, Noise]:
    """Register the scheme; return the noise of each port that is opened, by its name."""
    noises: dict[str, Noise] = {}

    async def open_noisy(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
        name = port.removeprefix("noisy:")
        noise = noises.setdefault(name, Noise())
        return await transports.open_transport(f"virtual:{name}", _Receiver(receiver, noise), options)

    transports.register("noisy", open_noisy)
    return noises
