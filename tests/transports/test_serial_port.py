"""Opening, holding and losing serial ports, on pseudo-terminals."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import logging
import os
import termios
import threading
from pathlib import Path

import pytest
import serial

from belay_py.devices.holders import holder
from belay_py.errors import ConnectionFailed, DeviceBusy, DeviceNotFound, Disconnected
from belay_py.transports import LinkOptions, SupportsLines, open_transport
from belay_py.transports.lines import has_lines, set_lines
from belay_py.transports.offload import offload
from belay_py.transports.port_errors import explain
from belay_py.transports.serial_device import SerialDevice, open_device
from belay_py.transports.serial_port import open_serial
from belay_py.transports.serial_transport import DirectSerialTransport
from tests.transports.conformance import PATIENCE, Recorder, descriptors
from tests.transports.links import pty
from tests.workers import join_workers


async def _fails(port: str, error: type[Exception], options: LinkOptions | None = None) -> str:
    before = descriptors()
    with pytest.raises(error) as caught:
        await open_transport(port, Recorder(), options or LinkOptions())
    assert descriptors() == before
    message = str(caught.value)
    assert "\n" not in message
    return message


async def test_one_port_costs_one_descriptor_and_one_for_its_lock() -> None:
    with pty() as (_, path):
        before = descriptors()
        recorder = Recorder()
        transport = await open_serial(path, recorder, LinkOptions())
        assert len(descriptors() - before) == 2
        transport.abort()
        await recorder.lost
        assert descriptors() == before


async def test_a_second_opening_is_busy_and_names_the_holder() -> None:
    with pty() as (_, path):
        recorder = Recorder()
        transport = await open_serial(path, recorder, LinkOptions())
        message = await _fails(path, DeviceBusy)
        assert f"pid {os.getpid()}" in message
        assert "this process" in message
        assert holder(path) is not None
        shared_recorder = Recorder()
        shared = await open_serial(path, shared_recorder, LinkOptions(exclusive=False))
        shared.abort()
        await shared_recorder.lost
        transport.abort()
        await recorder.lost


async def test_a_port_is_free_when_connection_lost_is_called() -> None:
    with pty() as (_, path):

        class Reopening(Recorder):
            again: SerialDevice

            def connection_lost(self, exc: Exception | None) -> None:
                self.again = open_device(path, LinkOptions())
                super().connection_lost(exc)

        recorder = Reopening()
        transport = await open_serial(path, recorder, LinkOptions())
        transport.abort()
        await recorder.lost
        recorder.again.close()


async def test_a_forked_child_does_not_keep_the_lock() -> None:
    with pty() as (_, path):
        device = open_device(path, LinkOptions())
        duplicate = os.dup(device.fileno())  # what a forked child would hold: the same open file
        device.close()
        open_device(path, LinkOptions()).close()
        os.close(duplicate)


def test_a_child_that_closes_does_not_free_the_parents_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with pty() as (_, path):
        device = open_device(path, LinkOptions())
        duplicate = os.dup(device.fileno())
        monkeypatch.setattr(os, "getpid", lambda: -1)
        device.close()
        with pytest.raises(DeviceBusy):
            open_device(path, LinkOptions())
        os.close(duplicate)


async def test_missing_ports_list_what_there_is() -> None:
    message = await _fails("/dev/ttyNOSUCH0", DeviceNotFound)
    assert "/dev/ttyNOSUCH0" in message
    error = explain("/dev/ttyACM1", FileNotFoundError(errno.ENOENT, "x"), devices=["/dev/ttyACM0", "/dev/ttyS0"])
    assert isinstance(error, DeviceNotFound)
    assert "did you mean /dev/ttyACM0? there are /dev/ttyACM0, /dev/ttyS0" in str(error)
    assert "virtual:" in str(explain("x", FileNotFoundError(errno.ENOENT, "x"), devices=[]))


async def test_what_is_no_serial_port_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "is a directory, not a serial port" in await _fails(str(tmp_path), ConnectionFailed)
    assert "is a regular file, not a serial port" in await _fails(str(file), ConnectionFailed)
    assert "not a serial port" in await _fails("/dev/null", ConnectionFailed)
    await _fails("/dev/tty\0", DeviceNotFound)


@pytest.mark.parametrize("baudrate", [0, -1, True, 9600.5, "fast", None, 2**31])
async def test_nonsense_rates_are_refused(baudrate: object) -> None:
    with pty() as (_, path):
        message = await _fails(path, ConnectionFailed, LinkOptions(baudrate=baudrate))  # type: ignore[arg-type]  # it is
        assert "baud" in message


async def test_unusual_rates_work() -> None:
    with pty() as (_, path):
        recorder = Recorder()
        transport = await open_serial(path, recorder, LinkOptions(baudrate=250_000))
        transport.abort()
        assert await recorder.lost is None


def test_without_permission_the_group_is_named() -> None:
    with pty() as (_, path):
        Path(path).chmod(0o660)
        error = explain(path, serial.SerialException(errno.EACCES, "Permission denied"))
        assert isinstance(error, ConnectionFailed)
        assert "no permission" in str(error)
        assert "usermod -aG" in str(error) or "udev" in str(error)
        Path(path).chmod(0o600)
        assert "udev" in str(explain(path, PermissionError(errno.EACCES, "Permission denied")))


def test_errors_that_pyserial_hides_are_found() -> None:
    hidden = serial.SerialException("Could not configure port")
    hidden.__context__ = termios.error(errno.EIO, "Input/output error")
    assert "no device behind it" in str(explain("/dev/ttyACM0", hidden))
    assert "no device behind it" in str(explain("/dev/ttyACM0", hidden.__context__))
    assert isinstance(explain("/dev/ttyACM0", OSError(errno.EBUSY, "busy")), DeviceBusy)
    assert "usual one" in str(explain("/dev/ttyACM0", ValueError("Failed to set custom baud rate (7)")))


async def test_lines_asked_for_on_a_pseudo_terminal_do_not_hinder_opening() -> None:
    with pty() as (_, path):
        recorder = Recorder()
        transport = await open_serial(path, recorder, LinkOptions(dtr=False, rts=True))
        assert isinstance(transport, SupportsLines)
        with pytest.raises(ConnectionFailed, match="has no DTR and RTS"):
            transport.set_lines(dtr=True)
        transport.abort()
        with pytest.raises(Disconnected):
            transport.set_lines(dtr=True)
        await recorder.lost


def test_both_lines_are_set_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, bytes]] = []

    def ioctl(_fd: int, request: int, argument: bytes) -> bytes:
        calls.append((request, argument))
        return (termios.TIOCM_DTR | termios.TIOCM_RTS | termios.TIOCM_CTS).to_bytes(4, "little")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert has_lines(0)
    calls.clear()
    assert set_lines(0, dtr=False, rts=False)
    assert [request for request, _ in calls] == [termios.TIOCMGET, termios.TIOCMSET]
    assert int.from_bytes(calls[1][1], "little") == termios.TIOCM_CTS
    calls.clear()
    assert set_lines(0, dtr=None, rts=None)
    assert len(calls) == 1


async def test_a_descriptor_closed_behind_its_back_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    with pty() as (_, path):
        recorder = Recorder()
        transport = await open_serial(path, recorder, LinkOptions())
        assert isinstance(transport, DirectSerialTransport)
        os.close(transport.serial.fileno())
        transport.write(b"x")
        assert isinstance(await recorder.lost, Disconnected)
        assert recorder.losses == 1
    assert not caplog.records


async def test_an_unplugging_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pty() as (peer, path):
        recorder = Recorder()
        transport = await open_serial(path, recorder, LinkOptions())
        peer.close()
        for _ in range(20):
            transport.write(b"x")
        exc = await recorder.lost
        assert isinstance(exc, Disconnected)
        assert isinstance(exc.__cause__, OSError)
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelno > logging.DEBUG]


async def test_close_sends_what_is_buffered_first() -> None:
    with pty() as (peer, path):
        recorder = Recorder()
        transport = await open_serial(path, recorder, LinkOptions())
        assert isinstance(transport, DirectSerialTransport)
        transport.write(bytes(100_000))
        assert transport.get_write_buffer_size()
        transport.close()
        transport.close()
        transport.write(b"ignored")
        assert await peer.receive(100_000) == bytes(100_000)
        assert await recorder.lost is None


async def test_real_ports_close_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[tuple[bool, str]] = []
    monkeypatch.setattr(
        SerialDevice,
        "drain_briefly",
        lambda _, discard: drained.append((discard, threading.current_thread().name)),
    )
    for stuck in (False, True):
        with pty() as (_, path):
            before = descriptors()
            device = open_device(path, LinkOptions())
            device.has_lines = True
            recorder = Recorder()
            transport = DirectSerialTransport(asyncio.get_running_loop(), recorder, device)
            transport.write(bytes(100_000) if stuck else b"\x02")
            transport.abort()
            assert await recorder.lost is None
            assert descriptors() == before
    assert [discard for discard, _ in drained] == [False, True]
    assert all(name.startswith("belay closing") for _, name in drained)


def test_draining_is_bounded_and_never_raises() -> None:
    with pty() as (peer, path):
        device = open_device(path, LinkOptions())
        device.drain_briefly(discard=False)
        peer.close()
        device.drain_briefly(discard=False)
        device.close()
        device.close()


async def test_a_cancelled_opening_leaves_nothing_open() -> None:
    started, go_on = threading.Event(), threading.Event()
    with pty() as (_, path):
        before = descriptors()
        discarded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def slow() -> SerialDevice:
            started.set()
            go_on.wait(PATIENCE)
            return open_device(path, LinkOptions())

        def discard(device: SerialDevice) -> None:
            device.close()
            loop.call_soon_threadsafe(discarded.set_result, None)

        opening = asyncio.ensure_future(offload(slow, discard, name="slow"))
        await asyncio.to_thread(started.wait)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        go_on.set()
        await discarded
        assert descriptors() == before
        open_device(path, LinkOptions()).close()  # the lock is free


async def test_cancelling_at_any_turn_leaves_nothing_open() -> None:
    with pty() as (_, path):
        before = descriptors()
        for turns in range(12):
            recorder = Recorder()
            opening = asyncio.ensure_future(open_serial(path, recorder, LinkOptions()))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            try:
                transport = await opening
            except asyncio.CancelledError:
                if recorder.calls:
                    await recorder.lost
            else:
                transport.abort()
                await recorder.lost
            await asyncio.to_thread(join_workers)
            assert descriptors() == before
            del opening
        gc.collect()
