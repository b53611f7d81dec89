"""``config``: what counts, for people and for programs, and where it is from."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import DeviceSessionOptions, load_settings

from .conftest import PATIENCE, complaint

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Commands

SETTINGS = """
max_sessions = 7
[session]
idle_timeout = "never"
[profiles.slow]
baudrate = 9600
retry.delay = 1
[devices.sensor]
usb = "2E8A:0005"
profile = "slow"
tags = ["b c", "a"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "[bench].toml"  # which rich would read as markup
    path.write_text(SETTINGS)
    return path


def told(belay: Commands, *arguments: str | Path, env: dict[str, str] | None = None) -> dict[str, Any]:
    done = belay.run("config", *arguments, "--json", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    return {entry.pop("name"): entry for entry in json.loads(done.stdout)}


def test_for_people(belay: Commands, file: Path) -> None:
    done = belay.run("config", "--settings", file, env={"BELAY_MAX_WAITING": "9"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    header, *lines = done.stdout.decode().splitlines()
    assert header.split() == ["OPTION", "VALUE", "FROM"]
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert rows["max_sessions"] == f"7 {file}"
    assert rows["max_waiting"] == "9 BELAY_MAX_WAITING"
    assert rows["close_grace"] == "5s default"
    assert rows["leak_stacks"] == "false default"
    assert rows["session.idle_timeout"] == f"never {file}"
    assert rows["session.max_lifetime"] == "none default"
    of_device = {name.removeprefix("devices.sensor."): row for name, row in rows.items() if name.startswith("devices.")}
    assert of_device == {
        "port": f"usb:2E8A:0005 {file}",
        "baudrate": f"9600 {file} [profiles.slow]",
        "retry.delay": f"1s {file} [profiles.slow]",
        "tags": f'["a", "b c"] {file}',
        "profile": f"slow {file}",
    }


def test_what_a_terminal_would_act_on_is_escaped(belay: Commands, file: Path) -> None:
    file.write_text('[devices."é\\u001b[2J"]\nport = "a\\nb"', encoding="utf-8")
    done = belay.run("config", "--settings", file, env={"BELAY_DEVICES__B__PORT": os.fsdecode(b"/dev/\xff")})
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("devices.")] == [
        [r'devices."\u00e9\u001b[2J".port', r'"a\nb"'],
        ["devices.b.port", r'"/dev/\udcff"'],
    ]


def test_all_options_of_a_device_on_demand(belay: Commands, file: Path) -> None:
    done = belay.run("config", "--settings", file, "--all")
    assert f"devices.sensor.idle_timeout never {file} [session]" in " ".join(done.stdout.decode().split())
    assert "devices.sensor.checkin" in done.stdout.decode()


def test_for_programs(belay: Commands, file: Path) -> None:
    values = told(belay, env={"BELAY_SETTINGS": str(file), "BELAY_DEVICES__SENSOR__PINNED": "yes"})
    assert values["max_sessions"] == {"value": 7, "from": str(file), "table": ""}
    assert values["close_grace"] == {"value": 5.0, "from": "default", "table": ""}
    assert values["session.idle_timeout"] == {"value": "inf", "from": str(file), "table": "session"}
    assert values["session.max_lifetime"] == {"value": None, "from": "default", "table": "session"}
    assert values["devices.sensor.tags"]["value"] == ["a", "b c"]
    assert values["devices.sensor.idle_timeout"] == {"value": "inf", "from": str(file), "table": "session"}
    assert values["devices.sensor.retry.delay"] == {"value": 1.0, "from": str(file), "table": "profiles.slow"}
    assert values["devices.sensor.pinned"]["from"] == "BELAY_DEVICES__SENSOR__PINNED"


def test_what_is_shown_is_what_a_manager_gets(belay: Commands, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BELAY_SETTINGS", raising=False)
    values = told(belay, "--settings", file)
    device = load_settings(file).manager_options().devices["sensor"]
    for name in ("baudrate", "operation_timeout", "checkin", "pinned", "port", "check_after"):
        assert values[f"devices.sensor.{name}"]["value"] == getattr(device, name)
    plain = {name for name in DeviceSessionOptions.__dataclass_fields__ if name not in {"retry", "communication"}}
    assert {f"devices.sensor.{name}" for name in plain} <= set(values)


def test_faults_are_lines_on_stderr(belay: Commands, file: Path) -> None:
    file.write_text("[session]\nidle_timout = 1\n[devices.a]\nport = 3")
    done = belay.run("config", "--settings", file, env={"BELAY_MAX_SESIONS": "1"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines() == [
        f"error: {file}: session.idle_timout is no option; did you mean 'idle_timeout'?",
        f"error: {file}: devices.a.port is 3; it must be text, a path or a URL",
        "error: BELAY_MAX_SESIONS is no setting; did you mean BELAY_MAX_SESSIONS?",
    ]
    done = belay.run("config", "--settings", "/nosuch.toml")
    assert done.returncode == 2
    assert complaint(done) == "/nosuch.toml is not there; name a file that exists, or none"


def test_help_has_examples_and_other_verbs_load_no_settings(belay: Commands) -> None:
    done = belay.run("config", "--help")
    assert "belay-py config --settings bench.toml" in done.stdout.decode().partition("Examples:")[2]
    code = "import sys\nfrom belay_py.cli import app\napp.run(['devices'])\nprint('pydantic_settings' in sys.modules)"
    assert belay.script(code).stdout.decode().splitlines()[-1] == "False"


@pytest.mark.parametrize("verb", [["config"], ["detect", "process:cat", "--timeout", "0.1"]], ids=lambda verb: verb[0])
def test_a_reader_that_goes_away_is_told_as_everywhere(belay: Commands, verb: list[str]) -> None:
    process = belay.start(*verb)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == b""


def test_names_that_the_output_has_no_letters_for_are_escaped(belay: Commands, tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text('[devices."Gr\u00fc\u00dfe"]\nport = "virtual:"\n', encoding="utf-8")
    done = belay.run("config", "--settings", path, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b'devices."Gr\\xfc\\xdfe".port' in done.stdout
