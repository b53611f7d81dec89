"""Which port is the board now: by number, by place, by name, and never a wrong one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay_py.devices.discovery import DeviceInfo, list_devices
from belay_py.devices.sightings import Sighting, locate
from tests.devices.test_discovery import port, ports

PICO = DeviceInfo("/dev/ttyACM0", "Pico", 0x2E8A, 0x0005, "E6614", location="1-2:1.0")
DATA = replace(PICO, port="/dev/ttyACM1", location="1-2:1.2")
OTHER = replace(PICO, port="/dev/ttyACM0", serial_number="E6615")
BRIDGE = DeviceInfo("/dev/ttyUSB0", "CP2102", 0x10C4, 0xEA60, "0001", location="1-4")
PLAIN = DeviceInfo("/dev/ttyUSB0", "CH340", 0x1A86, 0x7523, None, location="1-4")


def seen(device: DeviceInfo, *others: DeviceInfo) -> Sighting:
    found = Sighting.of(device, [device, *others])
    assert found is not None
    return found


def test_a_number_is_followed_to_any_name_and_place() -> None:
    moved = replace(PICO, port="COM7", location="3-1:1.0")
    assert locate(seen(PICO, DATA), None, [moved, DATA], can_be_asked=False).device is moved
    assert locate(seen(PICO, DATA), OTHER, [OTHER, moved], can_be_asked=False).device is moved


def test_its_data_port_is_not_its_prompt() -> None:
    assert locate(seen(PICO, DATA), None, [DATA], can_be_asked=True).device is None


def test_the_number_of_another_at_its_name_is_a_stranger() -> None:
    assert locate(seen(PICO), OTHER, [OTHER], can_be_asked=True) == (None, OTHER)


def test_other_firmware_with_its_number_is_tried() -> None:
    loader = replace(PICO, pid=0x000B)
    assert locate(seen(PICO), loader, [loader], can_be_asked=False) == (None, None)


def test_a_number_that_a_twin_has_too_is_told_by_its_place() -> None:
    here, there = PICO, replace(PICO, port="/dev/ttyACM5", location="1-9:1.0")
    assert locate(seen(PICO), there, [there, here], can_be_asked=True).device is here
    away = replace(there, port="/dev/ttyACM0", location="1-8:1.0")
    assert locate(seen(PICO), away, [there, away], can_be_asked=True) == (None, away)


@pytest.mark.parametrize("number", ["0001", "0", "00000000", "1"])
def test_what_a_factory_writes_on_each_is_no_number(number: str) -> None:
    board = replace(BRIDGE, serial_number=number)
    assert not seen(board).numbered
    elsewhere = replace(board, port="/dev/ttyUSB3", location="1-7")
    assert locate(seen(board), None, [elsewhere], can_be_asked=True).device is None


def test_without_a_number_the_place_is_followed() -> None:
    swapped = replace(PLAIN, port="/dev/ttyUSB1")
    other = replace(PLAIN, location="1-5")
    assert locate(seen(PLAIN), other, [other, swapped], can_be_asked=False).device is swapped


def test_one_like_it_in_another_socket_is_tried_only_if_it_can_be_asked() -> None:
    like = replace(PLAIN, location="1-5")
    assert locate(seen(PLAIN), like, [like], can_be_asked=True) == (None, None)
    assert locate(seen(PLAIN), like, [like], can_be_asked=False) == (None, like)
    unlike = replace(like, pid=0x7522)
    assert locate(seen(PLAIN), unlike, [unlike], can_be_asked=True) == (None, unlike)


def test_what_has_neither_number_nor_place_is_not_remembered() -> None:
    legacy = DeviceInfo("/dev/ttyS0", "ttyS0")
    assert Sighting.of(legacy, [legacy]) is None


def test_people_read_what_it_was() -> None:
    assert str(seen(PICO)) == "usb:2E8A:0005:E6614"
    assert str(seen(PLAIN)) == "usb:1A86:7523 at 1-4"


DEVICES = st.builds(
    lambda name, number, pid, place: port(name, 0x2E8A, pid, number, place),
    st.sampled_from([f"/dev/ttyACM{number}" for number in range(4)]),
    st.sampled_from([None, "A", "B", "0001"]),
    st.sampled_from([5, 6]),
    st.sampled_from(["1-1:1.0", "1-1:1.2", "1-2", "1-3"]),
)


@given(
    st.lists(DEVICES, min_size=1, unique_by=lambda item: item.device),
    st.lists(DEVICES, unique_by=lambda item: item.device),
    st.booleans(),
)
def test_what_is_found_is_never_another_board(before: list[object], after: list[object], asked: bool) -> None:
    then, now = (list_devices(ports(*listing)) for listing in (before, after))  # type: ignore[arg-type]  # ports
    for board in then:
        sighting = Sighting.of(board, then)
        if sighting is None:
            continue
        here = next((device for device in now if device.port == board.port), None)
        device, stranger = locate(sighting, here, now, can_be_asked=asked)
        assert device is None or stranger is None
        if device is not None:
            same = (device.vid, device.pid, device.serial_number) == (board.vid, board.pid, board.serial_number)
            assert same
            assert sighting.numbered or device.location == board.location
        elif stranger is None and here is not None:
            # What may be tried under the given name: the same number, or something that the board itself will tell.
            assert (sighting.numbered and here.serial_number == board.serial_number) or asked
        if not asked and stranger is None and device is None and here is not None:
            assert here.serial_number == board.serial_number
        if (
            board in now
            and sum((other.serial_number, other.location) == (board.serial_number, board.location) for other in now)
            == 1
        ):
            assert device == board


def test_the_listing_s_order_changes_nothing() -> None:
    listing = [PICO, DATA, BRIDGE, replace(OTHER, port="/dev/ttyACM7", location="1-3")]
    for board in listing:
        for devices in (listing, listing[::-1]):
            assert locate(seen(board, *listing), None, devices, can_be_asked=False).device is board
