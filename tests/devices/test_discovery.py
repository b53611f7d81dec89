"""Which board is meant, told from lists of ports as pyserial makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from serial.tools.list_ports_common import ListPortInfo

from belay_py.devices import default_port, list_devices, resolve
from belay_py.devices.discovery import resolve_pattern
from belay_py.errors import ConnectionFailed, DeviceNotFound

if TYPE_CHECKING:
    from collections.abc import Callable


def port(
    device: str, vid: int | None = None, pid: int | None = None, serial: str | None = None, at: str = "1-1"
) -> ListPortInfo:
    info = ListPortInfo(device, skip_link_detection=True)
    if vid is not None:
        info.vid, info.pid, info.serial_number, info.location = vid, pid, serial, at
        info.product = "Board in FS mode"
        info.apply_usb_info()
    return info


def ports(*those: ListPortInfo) -> Callable[[], list[ListPortInfo]]:
    return lambda: list(those)


PICO = port("/dev/ttyACM0", 0x2E8A, 0x0005, "E6614", at="1-2:1.0")
PICO_DATA = port("/dev/ttyACM1", 0x2E8A, 0x0005, "E6614", at="1-2:1.2")
OTHER_PICO = port("/dev/ttyACM10", 0x2E8A, 0x0005, "E6615", at="1-3")
BRIDGE = port("/dev/ttyUSB0", 0x10C4, 0xEA60, "0001")
MODEM = port("/dev/ttyACM2", 0x1234, 0x5678, "M")
PHANTOM = port("/dev/ttyS0")


def test_devices_are_described_boards_first() -> None:
    devices = list_devices(ports(PHANTOM, MODEM, BRIDGE, OTHER_PICO, PICO))
    assert [device.port for device in devices] == ["/dev/ttyACM0", "/dev/ttyACM10", "/dev/ttyUSB0", "/dev/ttyACM2"]
    pico, bridge, modem = devices[0], devices[2], devices[3]
    assert pico.likely_micropython
    assert not pico.maybe_micropython
    assert pico.usb == "usb:2E8A:0005:E6614"
    assert pico.family == "rp2"
    assert (bridge.likely_micropython, bridge.maybe_micropython) == (False, True)
    assert (modem.likely_micropython, modem.maybe_micropython) == (False, False)
    assert str(pico) == "/dev/ttyACM0 (Board in FS mode, usb:2E8A:0005:E6614)"


def test_real_legacy_ports_stay() -> None:
    real = port("/dev/ttyS1")
    real.hwid = "PNP0501"
    assert [device.port for device in list_devices(ports(PHANTOM, real))] == ["/dev/ttyS1"]


@pytest.mark.parametrize(
    ("vid", "pid", "likely"),
    [
        (0x303A, 0x4001, True), (0x303A, 0x1001, True), (0x239A, 0x80F4, True), (0xF055, 0x9800, True),
        (0x0D28, 0x0204, True), (0x2E8A, 0x1020, True), (0x2E8A, 0x000C, False), (0x1A86, 0x7523, False),
    ],
)  # fmt: skip
def test_known_numbers(vid: int, pid: int, likely: bool) -> None:
    (device,) = list_devices(ports(port("/dev/ttyACM0", vid, pid)))
    assert device.likely_micropython is likely
    assert device.maybe_micropython is not likely


def test_a_board_that_goes_while_listed_is_tried_again() -> None:
    attempts: list[int] = []

    def flaky() -> list[ListPortInfo]:
        attempts.append(1)
        if len(attempts) < 2:
            raise TypeError("int() argument must be a string, not 'NoneType'")
        return [PICO]

    assert len(list_devices(flaky)) == 1

    def broken() -> list[ListPortInfo]:
        raise OSError("no sysfs")

    with pytest.raises(ConnectionFailed, match="no sysfs"):
        list_devices(broken)


def test_this_machine_can_be_listed() -> None:
    assert isinstance(list_devices(), list)


@pytest.mark.parametrize("name", ["usb:2e8a:0005:e6614", "usb:2E8A:5:E6614", "USB:2E8A:0005:E6614"])
def test_a_board_is_found_by_its_ids(name: str) -> None:
    assert resolve(name, ports(OTHER_PICO, PICO_DATA, PICO)) == "/dev/ttyACM0"


def test_the_first_interface_of_the_only_board_is_meant() -> None:
    assert resolve("usb:2e8a:0005", ports(PICO_DATA, PICO)) == "/dev/ttyACM0"


def test_serial_numbers_may_have_colons() -> None:
    esp = port("/dev/ttyACM3", 0x303A, 0x1001, "34:85:18:AA:BB:CC")
    assert resolve("usb:303A:1001:34:85:18:AA:BB:CC", ports(esp)) == "/dev/ttyACM3"


def test_none_or_several_are_told_apart() -> None:
    with pytest.raises(DeviceNotFound, match=r"fits 2 boards.*E6614.*E6615"):
        resolve("usb:2e8a:0005", ports(PICO, OTHER_PICO))
    with pytest.raises(DeviceNotFound, match=r"did you mean E6615\?"):
        resolve("usb:2e8a:0005:E6619", ports(BRIDGE, OTHER_PICO))
    with pytest.raises(DeviceNotFound, match=r"no board usb:f055:9800: .*ttyUSB0"):
        resolve("usb:f055:9800", ports(BRIDGE))
    for bad in ("usb:", "usb:2e8a", "usb:xyz:0005", "usb:12345:0005", "/dev/ttyACM0"):
        with pytest.raises(ConnectionFailed, match="write usb:VID:PID"):
            resolve(bad, ports(PICO))


def test_the_default_port() -> None:
    assert default_port(ports(PICO, OTHER_PICO), {"BELAY_PORT": " virtual: "}) == "virtual:"
    assert default_port(ports(PHANTOM, MODEM, BRIDGE, PICO_DATA, PICO), {}) == "/dev/ttyACM0"
    assert default_port(ports(BRIDGE, MODEM), {}) == "/dev/ttyUSB0"
    with pytest.raises(DeviceNotFound, match=r"there are 2 boards.*--port or BELAY_PORT.*ttyACM0.*ttyACM10"):
        default_port(ports(PICO, OTHER_PICO), {})
    with pytest.raises(DeviceNotFound, match="plug one in, or use --port virtual:"):
        default_port(ports(PHANTOM), {})
    with pytest.raises(DeviceNotFound, match=r"no board was recognised.*ttyACM2"):
        default_port(ports(MODEM), {})


def test_a_pattern_means_the_only_port_that_fits() -> None:
    bench = ports(PHANTOM, PICO, BRIDGE, MODEM)
    assert resolve_pattern("hwgrep://ttyusb", bench) == "/dev/ttyUSB0"
    assert resolve_pattern("hwgrep://VID:PID=2E8A:0005.*SER=E6614", bench) == "/dev/ttyACM0"
    with pytest.raises(DeviceNotFound, match=r"fits 2 ports, name one: /dev/ttyACM0 .*/dev/ttyACM2"):
        resolve_pattern("hwgrep://ttyACM", bench)
    with pytest.raises(DeviceNotFound, match=r"no port fits hwgrep://nothing: "):
        resolve_pattern("hwgrep://nothing", bench)
    for wrong in ("hwgrep://", "hwgrep:x", "hwgrep://(", "hwgrep://ttyUSB&n=2"):
        with pytest.raises(ConnectionFailed, match="write hwgrep://PATTERN"):
            resolve_pattern(wrong, bench)
