"""The file, the environment and code, in rising order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from belay_py import DeviceSessionManagerOptions, RetryOptions, Settings, SettingsError, load_settings
from belay_py.settings.sources import OTHER_VARIABLES

ROOT = Path(__file__).parents[2]
FILE = """
max_sessions = 1
max_waiting = 1
lease_timeout = 1
[session.retry]
delay = 1
max_delay = 1
max_attempts = 1
[devices."Left-Arm"]
port = "/dev/left"
"""


def test_code_goes_before_the_environment_and_that_before_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "belay.toml").write_text(FILE)
    monkeypatch.setenv("BELAY_MAX_WAITING", "2")
    monkeypatch.setenv("BELAY_LEASE_TIMEOUT", "2s")
    monkeypatch.setenv("BELAY_SESSION__RETRY__MAX_DELAY", "2")
    monkeypatch.setenv("BELAY_SESSION__RETRY__MAX_ATTEMPTS", "2")
    settings = load_settings(lease_timeout=3, session={"retry": {"max_attempts": 3}})
    options = settings.manager_options()
    assert (options.max_sessions, options.max_waiting, options.lease_timeout) == (1, 2, 3)
    retry = options.defaults["retry"]
    assert (retry.delay, retry.max_delay, retry.max_attempts) == (1, 2, 3)
    origins = {value.name: value.origin for value in settings.effective_values()}
    assert [origins[name] for name in ("max_sessions", "max_waiting", "lease_timeout", "close_grace")] == [
        *("belay.toml", "BELAY_MAX_WAITING", "code", "default")
    ]
    assert origins["session.retry.delay"] == "belay.toml"
    assert origins["session.retry.max_delay"] == "BELAY_SESSION__RETRY__MAX_DELAY"
    assert origins["session.retry.max_attempts"] == "code"


def test_an_empty_table_leaves_what_is_below_it_and_none_takes_it_away(folder: Path) -> None:
    (folder / "belay.toml").write_text(FILE + "retry = {}\n[devices.b]\nport = 'b'\nretry = 'none'\n")
    settings = load_settings(session={"retry": {}})
    tables = {value.name: (value.origin, value.table) for value in settings.effective_values()}
    assert tables["session.retry.delay"] == ("belay.toml", "session")
    assert tables["devices.Left-Arm.retry.delay"] == ("belay.toml", "session")
    assert tables["devices.b.retry"] == ("belay.toml", "devices.b")
    devices = settings.manager_options().devices
    assert (devices["Left-Arm"].retry, devices["b"].retry) == (RetryOptions(delay=1, max_delay=1, max_attempts=1), None)


def test_the_file_that_is_named_in_code_or_by_a_variable_or_is_in_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().max_sessions == 100
    for number, name in enumerate(("belay.toml", "of_variable.toml", "of_code.toml"), start=1):
        (folder / name).write_text(f"max_sessions = {number}")
    assert Settings().max_sessions == 1
    monkeypatch.setenv("BELAY_SETTINGS", "of_variable.toml")
    assert Settings().max_sessions == 2
    assert Settings("of_code.toml").max_sessions == 3
    assert load_settings(folder / "of_code.toml").max_sessions == 3
    monkeypatch.setenv("BELAY_SETTINGS", "")
    assert Settings().max_sessions == 1


def test_a_mark_at_the_beginning_of_the_file_is_no_fault(folder: Path) -> None:
    (folder / "belay.toml").write_bytes(b"\xef\xbb\xbfmax_sessions = 4\r\n")
    assert Settings().max_sessions == 4


def test_variables_have_no_case_and_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("belay_max_sessions", "5")
    monkeypatch.setenv("BELAY_LEASE_TIMEOUT", " ")
    options = load_settings().manager_options()
    assert (options.max_sessions, options.lease_timeout) == (5, 30)


def test_variables_meet_the_devices_of_the_file_or_name_new_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "belay.toml").write_text(FILE)
    monkeypatch.setenv("BELAY_DEVICES__LEFT_ARM__TAGS", "a,b")
    monkeypatch.setenv("BELAY_DEVICES__RIGHT__PORT", "/dev/right")
    monkeypatch.setenv("BELAY_DEVICES__RIGHT__PROFILE", "slow")
    monkeypatch.setenv("BELAY_PROFILES__SLOW__COMMUNICATION__CHUNK", "32")
    devices = load_settings().manager_options().devices
    assert devices["Left-Arm"].tags == {"a", "b"}
    assert devices["right"].port == "/dev/right"
    assert devices["right"].communication.chunk == 32
    assert len(devices) == 2


def test_variables_of_this_project_that_are_no_settings_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = re.compile(r"\bBELAY_[A-Z][A-Z_]*[A-Z]\b")
    sources = [*(ROOT / "belay_py").rglob("*.py"), ROOT / ".ci" / "run", ROOT / "CONTRIBUTING.md"]
    sources += [*(ROOT / "tests" / "firmware").rglob("*.py"), *(ROOT / "tests" / "benchmarks").rglob("*.py")]
    named = {name for path in sources for name in pattern.findall(path.read_text(encoding="utf-8"))}
    settings = {name for name in named if name.split("__")[0] in {"BELAY_SESSION", "BELAY_DEVICES"} or "MAX_" in name}
    assert named - settings == OTHER_VARIABLES
    for name in OTHER_VARIABLES - {"BELAY_SETTINGS"}:
        monkeypatch.setenv(name, "anything")
    assert load_settings().manager_options() == DeviceSessionManagerOptions()


@pytest.mark.parametrize("environ", [{"BELAY_SETTINGS": "nowhere.toml"}, {}])
def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"nowhere.toml .*is not there; name a file that exists") as refusal:
        load_settings(None if environ else "nowhere.toml")
    assert ("BELAY_SETTINGS" in str(refusal.value)) == bool(environ)
