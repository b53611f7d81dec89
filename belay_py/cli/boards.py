"""A session for one command: the port that is meant, opened, and closed whatever happens."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from belay_py.cli.signals import Stopped, breaking_off

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.options import DeviceSessionOptions
    from belay_py.sync import DeviceSession


@contextlib.contextmanager
def session(
    port: str | None, baudrate: int, connect_timeout: float, trace: str | None = None
) -> Iterator[DeviceSession]:
    """Open a session on ``port``, or on the only board there is. A signal stops the board and raises `Stopped`."""
    from belay_py.lifecycle import DeviceSessionState  # noqa: PLC0415  as below
    from belay_py.sync import DeviceSession  # noqa: PLC0415  asyncio and the state machine: 60 ms that --help saves

    with breaking_off(), DeviceSession(options(port, baudrate, connect_timeout, trace)) as board:
        try:
            yield board
        except Stopped as stop:
            at_prompt = board.state in (DeviceSessionState.CONNECTED, DeviceSessionState.IDLE)
            stop.consequence = (
                "the board is at its prompt" if at_prompt else "the board did not stop, it may need a reset"
            )
            raise


@contextlib.contextmanager
def unconnected(
    port: str | None, baudrate: int, connect_timeout: float, trace: str | None = None
) -> Iterator[DeviceSession]:
    """Make a session that is not connected: nothing is sent to the board. A signal raises `Stopped`."""
    from belay_py.sync import DeviceSession  # noqa: PLC0415  as above

    with breaking_off():
        board = DeviceSession(options(port, baudrate, connect_timeout, trace))
        try:
            yield board
        except Stopped as stop:
            stop.consequence = "the board runs on"
            raise
        finally:
            board.close()


def options(port: str | None, baudrate: int, connect_timeout: float, trace: str | None) -> DeviceSessionOptions:
    """The options that a command line describes; without ``port``, for the only board there is."""
    from belay_py.options import DeviceSessionOptions  # noqa: PLC0415  as above

    if not port:
        from belay_py.devices import default_port  # noqa: PLC0415  as above

        port = default_port()
    if port.startswith("virtual:"):
        from belay_py.virtual import artifact  # noqa: PLC0415  as above

        # The first time this fetches MicroPython, which takes as long as the network does, and if it cannot, says
        # what to do: that is not to end as a board that does not answer in time.
        artifact.load()
    return DeviceSessionOptions(port=port, baudrate=baudrate, connection_timeout=connect_timeout, trace=trace)
