"""Which opener a port string goes to."""

from __future__ import annotations

import pytest

from belay_py import transports
from belay_py.errors import ConnectionFailed, DeviceBusy, DeviceNotFound, Disconnected
from belay_py.transports import LinkOptions, Receiver, Transport, open_transport, register, schemes
from belay_py.transports.memory import memory_pair
from tests.transports.conformance import Recorder


def test_the_schemes_are_known() -> None:
    ours = {"usb", "socket", "rfc2217", "process", "process+pty", "virtual", "memory"}
    assert set(schemes()) == ours | {"loop", "alt", "hwgrep"}


@pytest.mark.parametrize("scheme", schemes())
def test_every_opener_loads(scheme: str) -> None:
    opener = transports._opener(f"{scheme}:x")
    assert callable(transports._load(opener) if isinstance(opener, str) else opener)


@pytest.mark.parametrize("port", ["/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0", "COM3", "./x:y", "ttyACM0"])
async def test_what_has_no_scheme_is_a_serial_port(port: str) -> None:
    with pytest.raises((DeviceNotFound, ConnectionFailed), match=r"there is no"):
        await open_transport(port, Recorder(), LinkOptions())


async def test_no_port_is_told() -> None:
    with pytest.raises(ConnectionFailed, match="no port was named"):
        await open_transport(" ", Recorder(), LinkOptions())


async def test_an_unknown_scheme_names_the_nearest_and_all() -> None:
    with pytest.raises(ConnectionFailed, match=r"did you mean socket:\? .*rfc2217:.*virtual:"):
        await open_transport("sockets://host:1", Recorder(), LinkOptions())
    with pytest.raises(ConnectionFailed, match=r"^cannot open 'qqq:x': use a path"):
        await open_transport("qqq:x", Recorder(), LinkOptions())


async def test_a_registered_scheme_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "_openers", dict(transports._openers))
    opener, board = memory_pair()

    async def open_mine(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
        assert port == "Mine://here"
        return await opener(port, receiver, options)

    register("mine", open_mine)
    recorder = Recorder()
    transport = await open_transport("Mine://here", recorder, LinkOptions())
    assert board.connected
    transport.abort()
    await recorder.lost
    for bad in ("", "C", "Mine", "a b"):
        with pytest.raises(ConnectionFailed, match="cannot be a scheme"):
            register(bad, open_mine)


@pytest.mark.parametrize("port", ["socket://", "socket://host", "socket://host:99999", "socket:x", "rfc2217://host"])
async def test_addresses_without_host_or_port_say_how_to_write_them(port: str) -> None:
    with pytest.raises(ConnectionFailed, match="://host:port"):
        await open_transport(port, Recorder(), LinkOptions())


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
async def test_refused_connections_are_ours(scheme: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    with pytest.raises(ConnectionFailed, match="running"):
        await open_transport(f"{scheme}://127.0.0.1:{number}", Recorder(), LinkOptions())


async def test_usb_ports_that_are_not_there() -> None:
    with pytest.raises(DeviceNotFound, match="usb:FFFF:FFFF"):
        await open_transport("usb:FFFF:FFFF", Recorder(), LinkOptions())
    with pytest.raises(ConnectionFailed, match="write usb:VID:PID"):
        await open_transport("usb:pico", Recorder(), LinkOptions())
    with pytest.raises(DeviceNotFound, match="no port fits"):
        await open_transport("hwgrep://no such board", Recorder(), LinkOptions())


async def test_a_memory_board_is_scripted() -> None:
    _, board = memory_pair("scripted")
    board.on_data = lambda data: board.feed(b"answer to " + data)
    recorder = Recorder()
    transport = await open_transport("memory:scripted", recorder, LinkOptions(baudrate=9600))
    assert board.options == LinkOptions(baudrate=9600)
    with pytest.raises(DeviceBusy):
        await open_transport("memory:scripted", Recorder(), LinkOptions())
    transport.write(b"x")
    assert not recorder.data  # never from within write
    assert await recorder.receive(11) == b"answer to x"
    board.feed(b"last")
    board.lose(OSError("pulled"))
    exc = await recorder.lost
    assert isinstance(exc, Disconnected)
    assert "pulled" in str(exc)
    assert recorder.data == b"last"
    with pytest.raises(DeviceNotFound):
        await open_transport("memory:nobody", Recorder(), LinkOptions())
