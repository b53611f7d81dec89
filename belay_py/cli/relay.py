"""Between a person's terminal, or a pipe, and a board's prompt."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from belay_py.cli.keys import INTERRUPT, Interrupted, Keys, Left, Pasted, Typed
from belay_py.cli.output import BoardOutput
from belay_py.cli.signals import telling
from belay_py.cli.terminal import Input, RawTerminal, is_terminal
from belay_py.cli.typist import Typist
from belay_py.session.friendly import open_friendly

if TYPE_CHECKING:
    from belay_py.options import DeviceSessionOptions
    from belay_py.transports.base import Transport

_PROMPT, _MORE = b">>> ", b"... "
_CTRL_D, _CTRL_E = b"\x04", b"\x05"
_MOST_WAITING = 16 * 1024
"""Bytes of a pipe that are read ahead."""
_LONGEST_LINE = 256
_LONGEST_CLOSE = 5.0


async def talk(options: DeviceSessionOptions, terminal: RawTerminal) -> int | None:
    """Let this terminal and the board talk until the end; return the signal that was the reason, if one was."""
    loop = asyncio.get_running_loop()
    talking = asyncio.ensure_future(_talk(options, terminal))
    stopped_by: int | None = None

    def stop(number: int) -> None:
        nonlocal stopped_by
        stopped_by = number
        loop.call_soon_threadsafe(talking.cancel)

    with telling(stop, at_last=terminal.restore):
        await asyncio.wait([talking])
    if not talking.cancelled():
        talking.result()
    return stopped_by


async def _talk(options: DeviceSessionOptions, terminal: RawTerminal) -> None:
    relay = _Relay(person=is_terminal())
    transport = await open_friendly(options, relay)
    try:
        if relay.person:
            print(
                f"{options.port}: Ctrl-X or Ctrl-] leaves, Ctrl-C interrupts, Ctrl-D resets, Ctrl-E pastes",
                file=sys.stderr,
                flush=True,
            )
            with terminal.raw():
                await relay.until_the_end()
        else:
            await relay.until_the_end()
    finally:
        await relay.close(transport)


class _Relay(asyncio.Protocol):
    """Between the board and the person, or the pipe."""

    def __init__(self, *, person: bool) -> None:
        self.person = person
        self._loop = asyncio.get_running_loop()
        self._output = BoardOutput(sys.stdout.buffer, exact=sys.stdout.isatty())
        self._keys = Keys()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._end_of_input = False
        self._unfinished = False
        self._line = b""
        """What the board has written since the last line break, if nothing was typed after it."""
        self._transport: Transport
        self._typist: Typist
        self._input: Input | None = None

    async def until_the_end(self) -> None:
        """Relay until the person leaves, the pipe has ended, or the board is lost. Raises `Disconnected` for that."""
        self._input = Input(self._loop, self._on_input)
        try:
            await self._over
        except asyncio.CancelledError:
            if not self.person:  # nobody is there any more to see what the board's program does
                self._typist.interrupt(INTERRUPT)
            raise

    async def close(self, transport: Transport) -> None:
        """Close the port. Nothing is sent: a program that runs on the board runs on."""
        if self._over.done() and not self._over.cancelled():
            self._over.exception()
        self._typist.stop()
        transport.abort()
        await asyncio.wait([self._closed], timeout=_LONGEST_CLOSE)
        self._output.finish()
        if self.person and sys.stdout.isatty() and self._line:
            print(flush=True)

    # -- the board's side ---------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # asyncio names its own base
        self._transport = transport
        self._typist = Typist(self._write, self._loop, self._look_for_the_end)

    def data_received(self, data: bytes) -> None:
        self._line = (self._line + data).rpartition(b"\n")[2][-_LONGEST_LINE:]
        try:
            self._output.write(data)
            self._typist.heard(data)
            self._look_for_the_end()
        except Exception as error:  # noqa: BLE001  as below; an OSError when whoever read the output has gone
            self._finish(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)
        self._finish(exc)

    def _write(self, data: bytes) -> None:
        self._line = b""
        self._transport.write(data)

    # -- the person's side --------------------------------------------------------------------------------------

    def _on_input(self, data: bytes) -> None:
        try:
            (self._on_keys if self.person else self._on_pipe)(data)
        except Exception as error:  # noqa: BLE001  a loop would log it and go on, with a terminal that nobody can leave
            self._finish(error)

    def _on_keys(self, data: bytes) -> None:
        if not data:
            self._finish(None)
            return
        for key in self._keys.receive(data):
            match key:
                case Typed(keys):
                    self._typist.type(keys)
                case Interrupted():
                    self._typist.interrupt(INTERRUPT)
                case Pasted(text):
                    self._paste(text)
                case Left():
                    self._finish(None)

    def _paste(self, text: bytes) -> None:
        """Type a paste; lines at a prompt in paste mode, since the prompt would indent them a second time."""
        if self._line == _PROMPT and b"\r" in text.strip(b"\r") and not self._typist.waiting:
            text = _CTRL_E + text + _CTRL_D
        self._typist.type(text)

    def _on_pipe(self, data: bytes) -> None:
        if data:
            self._unfinished = not data.endswith(b"\n")
            self._typist.type(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r"))
        else:
            if self._unfinished:
                self._typist.type(b"\r")
            self._end_of_input = True
        self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        """At the end of a pipe, wait until the board has done it all and shows its prompt."""
        if self._input is not None and not self.person:
            self._input.hold(self._typist.waiting > _MOST_WAITING)
        if not self._end_of_input or self._typist.waiting:
            return
        if self._line == _PROMPT:
            self._finish(None)
        elif self._line.startswith(_MORE):
            self._typist.type(b"\r")  # the pipe ended in the middle of a block

    def _finish(self, error: Exception | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)
