"""DTR and RTS at opening and closing, and the pulses of a reset, seen by an RFC 2217 server: ptys have no lines."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import termios
import threading
import time
from typing import TYPE_CHECKING

import pytest

from belay_py.devices import profiles
from belay_py.devices.profiles import LineStep
from belay_py.errors import ConnectionFailed, Disconnected, SettingsError
from belay_py.transports import LinkOptions, Transport, open_transport
from belay_py.transports.profiled import profiled, reset_by_lines
from belay_py.transports.serial_device import open_device
from belay_py.transports.threaded import ThreadedTransport
from belay_py.transports.tracing import open_traced
from tests.transports.conformance import PATIENCE, Recorder
from tests.transports.links import FdPeer, Rfc2217Server, pty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from belay_py.transports import Receiver

RTS_OFF, RTS_ON, DTR_OFF, DTR_ON = ("rts", False), ("rts", True), ("dtr", False), ("dtr", True)


@contextlib.asynccontextmanager
async def remote(options: LinkOptions) -> AsyncIterator[tuple[Transport, Rfc2217Server, FdPeer]]:
    with pty() as (peer, path):
        server = Rfc2217Server(path)
        recorder = Recorder()
        try:
            async with asyncio.timeout(PATIENCE):
                transport = await open_transport(f"rfc2217://127.0.0.1:{server.port}", recorder, options)
                try:
                    yield transport, server, peer
                finally:
                    transport.abort()
                    await recorder.lost
        finally:
            await asyncio.to_thread(server.close)


async def sent(transport: Transport, peer: FdPeer) -> None:
    """Wait until all that was asked for before has been done: bytes and lines go one way, in order."""
    transport.write(b"x")
    assert await peer.receive(1) == b"x"


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (LinkOptions(), []),
        (LinkOptions(profile="generic"), []),
        # RTS first: DTR off with RTS on would reset the chip.
        (LinkOptions(profile="esp-bridge"), [RTS_OFF, DTR_OFF]),
        (LinkOptions(profile="esp-usb"), [DTR_ON, RTS_ON]),
        (LinkOptions(profile="cdc"), [DTR_ON]),
        (LinkOptions(profile="cdc", dtr=False), [DTR_OFF]),
        (LinkOptions(profile="cdc", rts=False), [RTS_OFF, DTR_ON]),
        (LinkOptions(profile="esp-bridge", dtr=True, rts=True), [DTR_ON, RTS_ON]),
        (LinkOptions(dtr=False, rts=False), [RTS_OFF, DTR_OFF]),
    ],
    ids=lambda value: value.profile or "none" if isinstance(value, LinkOptions) else "",
)
async def test_the_lines_at_opening_and_closing(options: LinkOptions, changes: list[tuple[str, bool]]) -> None:
    async with remote(options) as (transport, server, peer):
        await sent(transport, peer)
        assert server.lines == changes
    assert server.lines == changes  # and closing sets none


@pytest.mark.parametrize(
    ("profile", "changes"),
    [
        (profiles.ESP_BRIDGE, [DTR_OFF, RTS_ON, RTS_OFF, DTR_OFF]),
        (profiles.ESP_USB, [RTS_OFF, DTR_OFF, DTR_OFF, RTS_ON, RTS_OFF, DTR_OFF, DTR_ON, RTS_ON]),
    ],
    ids=lambda value: value.name if isinstance(value, profiles.Profile) else "",
)
async def test_a_reset_by_lines(profile: profiles.Profile, changes: list[tuple[str, bool]]) -> None:
    async with remote(LinkOptions(profile=profile.name)) as (transport, server, peer):
        await sent(transport, peer)
        before = len(server.lines)
        await reset_by_lines(transport, profile)
        await sent(transport, peer)
        assert server.lines[before:] == changes


class _SlowPort:
    """A port whose writes wait for `go`, and that notes when its lines were set."""

    timeout: float | None = None
    in_waiting = 0

    def __init__(self) -> None:
        self.go = threading.Event()
        self.set: list[tuple[float, str, bool]] = []

    def read(self, size: int = 1, /) -> bytes:
        threading.Event().wait(self.timeout)
        return b""

    def write(self, data: bytes, /) -> int:
        self.go.wait(PATIENCE)
        return len(data)

    dtr = property(lambda _: False, lambda self, on: self.set.append((time.monotonic(), "dtr", on)))
    rts = property(lambda _: False, lambda self, on: self.set.append((time.monotonic(), "rts", on)))

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("traced", [False, True])
async def test_a_pulse_has_its_length_when_the_writer_is_behind(*, traced: bool, tmp_path: Path) -> None:
    port, recorder = _SlowPort(), Recorder()

    async def opener(_: str, receiver: Receiver, options: LinkOptions) -> Transport:
        return await ThreadedTransport.start("slow", receiver, port)

    async with asyncio.timeout(PATIENCE):
        if traced:
            transport = await open_traced(opener, "slow", recorder, LinkOptions(), str(tmp_path / "trace"))
        else:
            transport = await opener("slow", recorder, LinkOptions())
        transport.write(b"x")
        resetting = asyncio.ensure_future(reset_by_lines(transport, profiles.ESP_BRIDGE))
        # As long as the pulse and more: timed by the loop, it would be over before it began.
        await asyncio.wait([resetting], timeout=0.3)
        assert not port.set
        port.go.set()
        await resetting
        assert [change for _, *change in port.set] == [["dtr", False], ["rts", True], ["rts", False], ["dtr", False]]
        assert port.set[2][0] - port.set[1][0] >= 0.1
        transport.abort()
        await recorder.lost


async def test_a_pulse_that_is_closed_half_way_ends_as_it_should() -> None:
    port, recorder = _SlowPort(), Recorder()
    port.go.set()
    long = dataclasses.replace(
        profiles.ESP_BRIDGE,
        reset_lines=(LineStep(dtr=False, rts=True, seconds=PATIENCE * 5), LineStep(dtr=False, rts=False, seconds=0.0)),
    )
    async with asyncio.timeout(PATIENCE):
        transport = await ThreadedTransport.start("slow", recorder, port)
        resetting = asyncio.ensure_future(reset_by_lines(transport, long))
        while len(port.set) < 2:
            await asyncio.sleep(0)
        transport.abort()
        with pytest.raises(Disconnected, match="was closed"):
            await resetting
        await recorder.lost
    assert [change for _, *change in port.set[2:]] == [["rts", False], ["dtr", False]]


async def test_a_reset_that_is_cancelled_does_not_leave_the_chip_in_reset() -> None:
    async with remote(LinkOptions(profile="esp-bridge")) as (transport, server, peer):
        pulse = asyncio.ensure_future(reset_by_lines(transport, profiles.ESP_BRIDGE))
        await asyncio.sleep(0)
        pulse.cancel()
        await asyncio.wait([pulse])
        assert pulse.cancelled()
        await sent(transport, peer)
        assert server.lines[2:] == [DTR_OFF, RTS_ON, RTS_OFF, DTR_OFF]


async def test_what_cannot_be_reset_by_lines_says_so() -> None:
    recorder = Recorder()
    transport = await open_transport("loop://", recorder, LinkOptions())
    for profile in (profiles.GENERIC, profiles.CDC):
        assert not profile.reset_by_lines
        with pytest.raises(ConnectionFailed, match=f"no line resets a board of the profile '{profile.name}'"):
            await reset_by_lines(transport, profile)
    transport.abort()
    await recorder.lost
    with pytest.raises(Disconnected):
        await reset_by_lines(transport, profiles.ESP_BRIDGE)
    with pty() as (_, path):
        recorder = Recorder()
        transport = await open_transport(path, recorder, LinkOptions())
        with pytest.raises(ConnectionFailed, match="has no DTR and RTS"):
            await reset_by_lines(transport, profiles.ESP_BRIDGE)
        transport.abort()
        await recorder.lost


def test_the_callers_lines_win_over_the_profile() -> None:
    options, profile = profiled("socket://h:1", LinkOptions(profile="esp-bridge", dtr=True))
    assert (options.dtr, options.rts) == (True, False)
    assert profile is profiles.ESP_BRIDGE
    with pytest.raises(SettingsError, match="did you mean 'esp-bridge'"):
        profiled("socket://h:1", LinkOptions(profile="esp_bridge"))


@pytest.mark.parametrize("profile", ["generic", "esp-bridge"])
def test_closing_drops_the_lines_only_where_the_profile_lets_it(profile: str) -> None:
    with pty() as (_, path):
        device = open_device(path, LinkOptions())
        settings = termios.tcgetattr(device.fileno())
        settings[2] |= termios.HUPCL
        termios.tcsetattr(device.fileno(), termios.TCSANOW, settings)
        device.close()
        device = open_device(path, LinkOptions(profile=profile))
        hangs_up = bool(termios.tcgetattr(device.fileno())[2] & termios.HUPCL)
        device.close()
        assert hangs_up is (profile == "generic")
