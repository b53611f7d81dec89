"""Sessions from profiles: options that are mappings, laid over each other, with every mistake named."""

from __future__ import annotations

from typing import Any

import pytest

import belay_py.sync
from belay_py import (
    CircuitBreakerOptions,
    CommunicationOptions,
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    DeviceSessionState,
    RateLimitOptions,
    RetryOptions,
    SettingsError,
    build_session,
)

PROFILE = {
    "baudrate": 9600,
    "tags": ["slow"],
    "communication": {"chunk": 32, "framing": "plain"},
    "retry": {"max_attempts": 5},
    "rate_limit": {"operations": 10, "kind": "fixed_window"},
    "circuit_breaker": {},
}


def test_a_profile_of_mappings_is_a_session_that_is_not_connected() -> None:
    session = build_session(PROFILE, "/dev/ttyUSB0", device_id="sensor", operation_timeout=60)
    assert (session.state, session.device_id) == (DeviceSessionState.CREATED, "sensor")
    assert session.options == DeviceSessionOptions(
        port="/dev/ttyUSB0",
        baudrate=9600,
        operation_timeout=60,
        tags=frozenset({"slow"}),
        communication=CommunicationOptions(chunk=32, framing="plain"),
        retry=RetryOptions(max_attempts=5),
        rate_limit=RateLimitOptions(operations=10, kind="fixed_window"),
        circuit_breaker=CircuitBreakerOptions(),
    )


async def test_a_session_of_a_profile_runs_code(port: str) -> None:
    async with build_session({"port": port, "communication": {"framing": "plain"}}) as session:
        assert session.options.communication.framing == "plain"
        assert await session.evaluate("6 * 7") == 42


def test_the_blocking_twin(port: str) -> None:
    with belay_py.sync.build_session({"retry": {"delay": 1}}, port, device_id="sensor") as session:
        assert isinstance(session, belay_py.sync.DeviceSession)
        assert (session.device_id, session.options.retry) == ("sensor", RetryOptions(delay=1))
        assert session.evaluate("6 * 7") == 42


def test_what_the_call_says_goes_on_top_field_by_field() -> None:
    session = build_session(
        PROFILE | {"port": "/dev/a"}, "/dev/b", communication={"chunk": 64}, retry=None, rate_limit=RateLimitOptions()
    )
    assert session.options.port == "/dev/b"
    assert session.options.communication == CommunicationOptions(chunk=64, framing="plain")
    assert session.options.retry is None
    assert session.options.rate_limit == RateLimitOptions()
    assert session.options.circuit_breaker == CircuitBreakerOptions()


def test_whole_options_are_a_profile_too() -> None:
    profile = DeviceSessionOptions(port="/dev/a", communication=CommunicationOptions(chunk=32))
    assert build_session(profile).options == profile
    session = build_session(profile, "/dev/b", communication={"framing": "plain"}, retry={"delay": 2})
    assert session.options.port == "/dev/b"
    assert session.options.communication == CommunicationOptions(chunk=32, framing="plain")
    assert session.options.retry == RetryOptions(delay=2)


def test_a_mapping_on_top_of_objects_of_a_profile_changes_what_it_names() -> None:
    profile = {"communication": CommunicationOptions(chunk=32), "retry": None}
    options = build_session(profile, "/dev/a", communication={"framing": "plain"}, retry={"delay": 2}).options
    assert options.communication == CommunicationOptions(chunk=32, framing="plain")
    assert options.retry == RetryOptions(delay=2)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"baudrat": 1}, "there is no option 'baudrat'; did you mean 'baudrate'?"),
        ({5: 1}, "there is no option '5'; the options are "),
        (
            {"communication": {"chunck": 1}},
            "there is no option 'communication.chunck'; did you mean 'communication.chunk'?",
        ),
        ({"retry": {"attempts": 1}}, "there is no option 'retry.attempts'; did you mean 'retry.max_attempts'?"),
        ({"retry": {"zzz": 1}}, "there is no option 'retry.zzz'; the options are max_attempts, delay, max_delay"),
        ({"rate_limit": {5: 1}}, "there is no option 'rate_limit.5'; the options are "),
        ({"retry": {"delay": -1}}, "retry.delay is -1; it must be "),
        ({"communication": {"profile": "esp-bridg"}}, "did you mean 'esp-bridge'?"),
        ({"retry": 5}, "retry is 5; it must be RetryOptions(...), or None"),
        ({"communication": RetryOptions()}, "communication is RetryOptions("),
        ({"communication": None}, "communication is None; it must be CommunicationOptions(...)"),
        ({"baudrate": "fast"}, "baudrate is 'fast'; it must be "),
        ("esp", "the profile is 'esp'; it must be a mapping of options"),
        (None, "the profile is None; it must be a mapping of options"),
    ],
)
def test_a_profile_that_is_wrong_is_an_error_that_says_what_is_right(profile: Any, message: str) -> None:
    for build in (build_session, belay_py.sync.build_session):
        with pytest.raises(SettingsError) as caught:
            build(profile, "/dev/a")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_mapping_over_an_object_of_another_class_is_refused_as_such() -> None:
    profile = {"communication": RetryOptions()}
    assert build_session(profile, "/dev/a", communication={"chunk": 1}).options.communication.chunk == 1
    with pytest.raises(SettingsError, match="communication is RetryOptions"):
        build_session(profile, "/dev/a", communication=RetryOptions())


def test_a_profile_without_a_port() -> None:
    with pytest.raises(SettingsError, match="the session has no port; name one"):
        build_session({"baudrate": 9600})
    with pytest.raises(SettingsError, match="there is no option 'prt'; did you mean 'port'"):
        build_session({"prt": "/dev/a"})


# ---- The manager's layers ----


def test_the_managers_defaults_profiles_and_overrides_are_laid_over_each_other_field_by_field() -> None:
    manager = DeviceSessionManagerOptions(
        defaults={"baudrate": 9600, "communication": {"chunk": 32, "pace": 0.5}, "retry": {"delay": 2}},
        profiles={"esp": {"communication": {"profile": "esp-bridge", "pace": 0.1}, "retry": None}},
    )
    options = manager.session_options("/dev/a", {"communication": {"framing": "plain"}}, "esp")
    assert options.communication == CommunicationOptions(chunk=32, pace=0.1, profile="esp-bridge", framing="plain")
    assert (options.baudrate, options.retry) == (9600, None)
    plain = manager.session_options("/dev/a", {})
    assert (plain.communication.chunk, plain.communication.profile, plain.retry) == (32, None, RetryOptions(delay=2))
    whole = manager.session_options(options, {"communication": {"chunk": 64}})
    assert whole.communication == CommunicationOptions(chunk=64, pace=0.1, profile="esp-bridge", framing="plain")


@pytest.mark.parametrize("where", ["defaults", "profiles"])
def test_a_misspelt_name_in_a_managers_nested_mapping_is_told_when_it_is_made(where: str) -> None:
    wrong = {"rate_limit": {"operation": 1}}
    with pytest.raises(SettingsError, match="'rate_limit.operation'; did you mean 'rate_limit.operations'"):
        DeviceSessionManagerOptions(**{where: wrong if where == "defaults" else {"esp": wrong}})  # type: ignore[arg-type]  # one of two fields


def test_a_session_takes_mappings_too() -> None:
    session = belay_py.DeviceSession("/dev/a", communication={"chunk": 32}, retry={"max_attempts": 2})
    assert (session.options.communication.chunk, session.options.retry) == (32, RetryOptions(max_attempts=2))
    for port in ("/dev/a", session.options):
        with pytest.raises(SettingsError, match="'retry.attempts'; did you mean 'retry.max_attempts'"):
            belay_py.DeviceSession(port, retry={"attempts": 2})
