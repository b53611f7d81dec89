"""Which profile a port gets, and what the profiles promise each other."""

from __future__ import annotations

import pytest

from belay_py import CommunicationOptions
from belay_py.devices import profiles
from belay_py.devices.usb_ids import LIKELY, MAYBE
from belay_py.errors import SettingsError
from belay_py.options import PROFILES
from tests.devices.test_discovery import BRIDGE, MODEM, PICO, port, ports

ESP32_S3 = port("/dev/ttyACM7", 0x303A, 0x1001, "7C:DF", at="1-4:1.0")
ALL = [profiles.GENERIC, profiles.ESP_BRIDGE, profiles.ESP_USB, profiles.CDC]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/dev/ttyUSB0", profiles.ESP_BRIDGE),
        ("/dev/ttyACM7", profiles.ESP_USB),
        ("/dev/ttyACM0", profiles.CDC),
        ("/dev/ttyACM2", profiles.GENERIC),  # a modem
        ("/dev/ttyACM99", profiles.GENERIC),
        ("alt:///dev/ttyUSB0?class=VTIMESerial", profiles.ESP_BRIDGE),
        ("usb:10C4:EA60", profiles.ESP_BRIDGE),
        ("usb:303a:4001:abc:def", profiles.ESP_USB),
        ("usb:2E8A:0005:E6614", profiles.CDC),
        ("usb:FFFF:1", profiles.GENERIC),
        ("socket://host:1", profiles.GENERIC),
        ("rfc2217://host:1", profiles.GENERIC),
        ("virtual:", profiles.GENERIC),
        ("a\0b", profiles.GENERIC),
    ],
)
def test_a_port_gets_the_profile_of_its_numbers(name: str, expected: profiles.Profile) -> None:
    assert profiles.find(name, ports(PICO, BRIDGE, MODEM, ESP32_S3)) is expected


def test_every_board_that_is_known_has_a_profile() -> None:
    for vid, pid in [*LIKELY, *MAYBE]:
        assert profiles.by_numbers(vid, pid if pid is not None else 1) is not profiles.GENERIC


def test_the_names_are_those_that_options_allow() -> None:
    assert [profile.name for profile in ALL] == list(PROFILES)
    for profile in ALL:
        assert profiles.named(profile.name) is profile
        assert CommunicationOptions(profile=profile.name).profile == profile.name
    for ask in (profiles.named, lambda name: CommunicationOptions(profile=name)):
        with pytest.raises(SettingsError, match="did you mean 'esp-bridge'"):
            ask("esp-bridgee")
        with pytest.raises(SettingsError, match="one of generic, esp-bridge, esp-usb, cdc"):
            ask("zzz")


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_a_reset_ends_with_the_lines_as_they_are_while_the_port_is_open(profile: profiles.Profile) -> None:
    assert profile.reset_by_lines is (profile.reset_lines is not None)
    if profile.reset_lines is not None:
        last = profile.reset_lines[-1]
        assert (last.dtr, last.rts) == (profile.dtr, profile.rts)
        assert any((step.dtr, step.rts) == (False, True) and step.seconds >= 0.1 for step in profile.reset_lines)


def test_no_profile_holds_an_esp_chip_in_reset_or_asks_for_its_bootloader() -> None:
    for profile in (profiles.ESP_BRIDGE, profiles.ESP_USB):
        assert profile.dtr == profile.rts is not None
