"""Which ports are the same board."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from belay_py.devices.identity import describe, identity, local_path, names
from tests.devices.test_discovery import BRIDGE, OTHER_PICO, PICO, PICO_DATA, port, ports
from tests.transports.links import pty

BENCH = ports(PICO, PICO_DATA, OTHER_PICO, BRIDGE)


def test_a_serial_number_and_an_interface_are_best() -> None:
    assert identity("/dev/ttyACM0", BENCH) == "usb-2E8A-0005-E6614-1.0"
    assert identity("/dev/ttyACM1", BENCH) == "usb-2E8A-0005-E6614-1.2"
    assert identity("/dev/ttyACM10", BENCH) == "usb-2E8A-0005-E6615-"
    assert identity("alt:///dev/ttyACM0?class=VTIMESerial", BENCH) == identity("/dev/ttyACM0", BENCH)


def test_the_same_board_at_another_path_is_the_same() -> None:
    moved = port("/dev/ttyACM5", 0x2E8A, 0x0005, "E6614", at="3-1:1.0")
    assert identity("/dev/ttyACM5", ports(moved)) == identity("/dev/ttyACM0", BENCH)


def test_a_serial_number_that_two_boards_share_does_not_count() -> None:
    twin = port("/dev/ttyUSB1", 0x10C4, 0xEA60, "0001", at="1-9")
    assert identity("/dev/ttyUSB0", ports(BRIDGE, twin)) == "usb-at-1-1"
    assert identity("/dev/ttyUSB1", ports(BRIDGE, twin)) == "usb-at-1-9"
    assert identity("/dev/ttyUSB0", ports(BRIDGE)) == "usb-10C4-EA60-0001-"


def test_without_a_serial_number_the_place_counts_and_then_the_path() -> None:
    nameless = port("/dev/ttyUSB3", 0x1A86, 0x7523, at="1-4")
    lost = port("/dev/ttyUSB4", 0x1A86, 0x7523, at="")
    assert identity("/dev/ttyUSB3", ports(nameless, lost)) == "usb-at-1-4"
    assert identity("/dev/ttyUSB4", ports(nameless, lost)) == "/dev/ttyUSB4"
    same_place = [port(f"/dev/ttyUSB{number}", 1, 2, at="1-4") for number in (5, 6)]
    assert identity("/dev/ttyUSB5", ports(*same_place)) == "/dev/ttyUSB5"


def test_every_name_of_one_device_shares_a_lock(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    number = Path("/dev/zero").stat().st_rdev
    expected = f"dev-{os.major(number)}-{os.minor(number)}"
    assert names("/dev/zero") == names(str(tmp_path / "zero")) == (expected,)
    alone = ports(port("/dev/zero", 0x10C4, 0xEA60, "0001", at="1-1"))
    twins = ports(*alone(), port("/dev/ttyUSB1", 0x10C4, 0xEA60, "0001", at="1-9"))
    assert names("/dev/zero", alone) == (expected, "usb-10C4-EA60-0001-")
    assert names("/dev/zero", twins) == (expected, "usb-at-1-1")
    assert names("virtual:") == ()
    assert names("socket://Host:4000") == ("tcp-host-4000",)


def test_two_nodes_of_one_device_share_a_lock(tmp_path: Path) -> None:
    node = tmp_path / "board"
    try:
        os.mknod(node, 0o600 | stat.S_IFCHR, Path("/dev/zero").stat().st_rdev)
    except PermissionError:
        pytest.skip("only root makes device nodes")
    assert names(str(node)) == names("/dev/zero")


def test_pseudo_terminals_are_told_apart() -> None:
    with pty() as (_, one), pty() as (_, two):
        assert names(one) != names(two)
        [name] = names(one)
        assert name.endswith(f"-{Path(one).stat().st_dev}")  # another container's have another


def test_links_to_a_port_are_that_port(tmp_path: Path) -> None:
    target = tmp_path / "port"
    target.touch()
    for link in ("one", "two"):
        (tmp_path / link).symlink_to(target)
    names = {identity(str(tmp_path / name)) for name in ("one", "two", "port")}
    assert names == {str(target)}
    found = port(str(target), 0x2E8A, 0x0005, "E6614")
    assert identity(str(tmp_path / "one"), ports(found)) == "usb-2E8A-0005-E6614-"
    device = describe(str(tmp_path / "one"), ports(found))
    assert device is not None
    assert device.vid == 0x2E8A


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("socket://Host:4000", "tcp-host-4000"),
        ("rfc2217://host:4000?timeout=3", "tcp-host-4000"),
        ("socket://host:99999", None),
        ("virtual:", None),
        ("memory:1", None),
        ("process:cat", None),
        ("loop://", None),
    ],
)
def test_other_ports(name: str, expected: str | None) -> None:
    assert identity(name) == expected
    assert local_path(name) is None
    assert describe(name) is None


def test_a_listing_that_fails_does_not_hinder() -> None:
    def fails() -> list[object]:
        raise OSError("no sysfs")

    assert identity("/dev/ttyACM0", fails) == "/dev/ttyACM0"  # type: ignore[arg-type]  # it lists nothing
