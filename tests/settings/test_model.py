"""The settings are those of the options: names, defaults and checks."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from belay_py import (
    CircuitBreakerOptions,
    CommunicationOptions,
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    RateLimitOptions,
    RetryOptions,
    Settings,
    load_settings,
)
from belay_py.settings.tables import DeviceTable, SessionTable, options_of

TABLES: dict[str, type[Any]] = {
    "communication": CommunicationOptions,
    "retry": RetryOptions,
    "rate_limit": RateLimitOptions,
    "circuit_breaker": CircuitBreakerOptions,
}
HOMES = (DeviceSessionOptions, DeviceSessionManagerOptions, *TABLES.values())


def names(home: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(home)]


def test_every_option_is_a_setting_and_nothing_else_is() -> None:
    of_manager = [
        name for name in names(DeviceSessionManagerOptions) if name not in {"defaults", "profiles", "devices"}
    ]
    assert [*Settings.model_fields] == [*of_manager, "session", "profiles", "devices"]
    of_session = [name for name in names(DeviceSessionOptions) if name != "port"]
    assert [*SessionTable.model_fields] == of_session
    assert sorted(DeviceTable.model_fields) == sorted([*of_session, "port", "usb", "profile"])
    for name, home in TABLES.items():
        table: Any = SessionTable.model_fields[name].annotation
        model: Any = next((part for part in typing.get_args(table) if part is not type(None)), table)
        assert [*model.model_fields] == names(home)


def test_without_settings_the_options_are_those_of_the_code() -> None:
    assert Settings().manager_options() == DeviceSessionManagerOptions()
    device = load_settings(devices={"a": {"port": "virtual:"}}).manager_options().devices["a"]
    assert device == DeviceSessionOptions(port="virtual:")


def test_every_number_that_need_not_be_whole_is_a_duration() -> None:
    # Settings read them as such; an option of another kind needs a type of its own first.
    assert {option.name for home in HOMES for option in options_of(home).values() if option.is_duration} == {
        *("lease_timeout", "cleanup_interval", "cleanup_grace", "leak_after", "quarantine_window", "quarantine_time"),
        *("close_grace", "connection_timeout", "operation_timeout", "recovery_timeout", "idle_timeout", "max_lifetime"),
        *("reconnect_delay", "max_reconnect_delay", "heartbeat_interval", "health_check_interval", "check_after"),
        *("pace", "delay", "max_delay", "period", "reset_after"),
    }


def test_types_are_those_of_the_options() -> None:
    settings = load_settings(
        warm_up=["a"],
        session={"operation_timeout": 5, "tags": ["x", "y"], "retry": RetryOptions(max_attempts=2)},
        devices={"a": DeviceSessionOptions(port="virtual:", tags=frozenset({"z"}))},
    )
    options = settings.manager_options()
    assert options.warm_up == ("a",)
    assert options.defaults["tags"] == frozenset({"x", "y"})
    assert options.defaults["retry"] == RetryOptions(max_attempts=2)
    assert type(options.defaults["operation_timeout"]) is float
    # Whole options are taken as they are.
    assert options.devices["a"] == DeviceSessionOptions(port="virtual:", tags=frozenset({"z"}))
    assert settings.session.retry.max_attempts == 2


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("idle_timeout", "never", math.inf),
        ("idle_timeout", "5m", 300.0),
        ("max_lifetime", "none", None),
        ("max_lifetime", "never", None),
        ("max_lifetime", "2d", 172800.0),
        ("baudrate", "9600", 9600),
        ("pinned", "yes", True),
        ("pinned", "OFF", False),
        ("tags", "a, b", frozenset({"a", "b"})),
        ("checkin", "leave", "leave"),
        ("trace", "wire.log", "wire.log"),
        ("trace", "none", None),
        ("retry", "on", RetryOptions()),
        ("retry", True, RetryOptions()),
        ("retry", "none", None),
        ("retry", False, None),
    ],
)
def test_text_is_read_as_what_the_option_is(option: str, text: object, value: object) -> None:
    found = load_settings(session={option: text}).manager_options().defaults[option]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("usb", "port"), [("2E8A:0005", "usb:2E8A:0005"), ("usb:2e8a:5:E66", "usb:2e8a:5:E66")])
def test_a_board_by_its_numbers(usb: str, port: str) -> None:
    assert load_settings(devices={"a": {"usb": usb}}).manager_options().devices["a"].port == port


def test_a_device_goes_before_its_profile_and_that_before_all_sessions() -> None:
    settings = load_settings(
        session={"baudrate": 1, "operation_timeout": 1, "idle_timeout": 1, "retry": {"delay": 1, "max_attempts": 1}},
        profiles={
            "slow": {"baudrate": 2, "operation_timeout": 2, "retry": {"max_attempts": 2}, "tags": ["p"]},
            "once": {"retry": "none"},
        },
        devices={
            "a": {"port": "a", "profile": "slow", "baudrate": 3, "communication": {"chunk": 3}, "tags": ["d"]},
            "b": {"port": "b", "profile": "once"},
            "c": {"port": "c", "profile": "once", "retry": {"max_delay": 9}},
        },
    )
    options = settings.manager_options()
    a = options.devices["a"]
    assert (a.baudrate, a.operation_timeout, a.idle_timeout, a.tags) == (3, 2, 1, {"d"})
    assert a.retry == RetryOptions(delay=1, max_attempts=2)
    assert a.communication == CommunicationOptions(chunk=3)
    assert options.devices["b"].retry is None
    assert options.devices["c"].retry == RetryOptions(max_delay=9)
    # The manager lays profiles on the defaults by itself, for sessions that are made later.
    assert options.session_options("x", {}, "slow").retry == RetryOptions(delay=1, max_attempts=2)
    assert options.session_options("x", {}, "slow").idle_timeout == 1
    assert set(options.profiles["slow"]) == {"baudrate", "operation_timeout", "retry", "tags"}


def test_settings_do_not_change() -> None:
    settings = Settings(max_sessions=3)
    with pytest.raises(ValidationError, match="frozen"):
        settings.max_sessions = 4  # type: ignore[attr-defined]  # fields can only be read, for type checkers too
    assert settings.manager_options().max_sessions == 3


def test_settings_may_be_a_part_of_an_applications_own() -> None:
    class Application(BaseModel):
        boards: Settings

    application = Application.model_validate({"boards": {"max_sessions": 3, "session": {"idle_timeout": "5m"}}})
    assert application.boards.manager_options().max_sessions == 3
    with pytest.raises(ValidationError, match="code: max_sesions is no option; did you mean 'max_sessions'"):
        Application.model_validate({"boards": {"max_sesions": 3}})
