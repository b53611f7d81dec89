"""Whatever is wrong, it is a SettingsError that names the place and the nearest right thing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from belay_py import SettingsError, load_settings
from belay_py.settings.sources import read_file

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Refused


def _nested(depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for _ in range(depth):
        tree = {"idle_timeout": tree}
    return tree


DEVICE = '[devices.sensor]\nport = "virtual:"\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # Names.
        ("max_sesions = 1", "max_sesions is no option; did you mean 'max_sessions'?"),
        ("[sesion]\nbaudrate = 1", "sesion is no option; did you mean 'session'?"),
        (DEVICE + "idle_timout = 1", "devices.sensor.idle_timout is no option; did you mean 'idle_timeout'?"),
        (DEVICE + "retry.dely = 1", "devices.sensor.retry.dely is no option; did you mean 'delay'?"),
        ("[profiles.p]\nbaudrat = 1", "profiles.p.baudrat is no option; did you mean 'baudrate'?"),
        ("[session]\ntimeout = 1", "session.timeout is no option; did you mean 'operation_timeout'?"),
        ("timeout = 1", "timeout is no option; did you mean 'lease_timeout'?"),
        ("[devices.'é']\nprt = 'x'", "devices.\"é\".prt is no option; did you mean 'port'?"),
        ('[devices."left arm"]\nprt = "x"', "devices.\"left arm\".prt is no option; did you mean 'port'?"),
        ("[session.retry]\nxyzzy = 1", "session.retry.xyzzy is no option; the names here are max_attempts, delay, "),
        # Right names in wrong places, which is what a line above or below the wrong table's header is.
        ("idle_timeout = 1", "idle_timeout is no option here; it belongs into the table [session]"),
        ("[session]\nmax_sessions = 1", "session.max_sessions is no option here; it belongs at the top, above the "),
        ("[session]\nchunk = 1", "session.chunk is no option here; it belongs into the table [session.communication]"),
        ("[session.retry]\nbaudrate = 1", "session.retry.baudrate is no option here; it belongs into the table [sess"),
        (DEVICE + "pace = 1", "devices.sensor.pace is no option here; it belongs into the table [devices.sensor.comm"),
        (DEVICE + "retry.chunk = 1", "devices.sensor.retry.chunk is no option here; it belongs into the table [device"),
        ('[session]\nport = "x"', "session.port is no option here; it belongs into the table [devices.NAME]"),
        ('port = "x"', "port is no option here; it belongs into the table [devices.NAME]"),
        # Values.
        ("max_sessions = 0", "max_sessions is 0; it must be a whole number of at least 1"),
        ("max_sessions = true", "max_sessions is True; it must be a whole number of at least 1"),
        ("max_sessions = 1.5", "max_sessions is 1.5; it must be a whole number of at least 1"),
        ('max_sessions = "many"', "max_sessions is 'many'; it must be a whole number of at least 1"),
        ("max_sessions = 9223372036854775808", "max_sessions is too large a number"),
        (f"max_sessions = 0x{'f' * 5000}", "max_sessions is too large a number"),
        ("lease_timeout = true", 'lease_timeout is True; it must be a number of seconds above 0, such as 90 or "5m"'),
        ("lease_timeout = -1", "lease_timeout is -1; it must be a number of seconds above 0, such as 90"),
        ("lease_timeout = nan", "lease_timeout is nan; it must be a number of seconds above 0"),
        ("lease_timeout = 1979-05-27", "lease_timeout is datetime.date(1979, 5, 27); it must be a number of seconds"),
        ("lease_timeout = []", "lease_timeout is (); it must be a number of seconds"),
        (
            'cleanup_interval = "never"',
            "cleanup_interval is inf; it must be a number of seconds above 0, and finite, s",
        ),
        ('leak_after = "5 minutes"', "leak_after: '5 minutes' is no duration; for minutes write m, as in 90, 250ms"),
        ("leak_after = 0", 'leak_after is 0; it must be a number of seconds above 0, or "none", such as 90 or "5m"'),
        ('leak_stacks = "maybe"', "leak_stacks is 'maybe'; it must be true or false"),
        ("leak_stacks = 1", "leak_stacks is 1; it must be true or false"),
        ('on_close = "stopp"', 'on_close is \'stopp\'; it must be "stop" or "leave"'),
        ("on_close = []", 'on_close is (); it must be "stop" or "leave"'),
        ('[session]\ncheckin = "none"', "session.checkin is 'none'; it must be \"leave\" or"),
        ("[session]\ntags = [1]", "session.tags has 1 in it; each must be a name"),
        ("[session]\ntags = [[]]", "session.tags has [] in it; each must be a name"),
        ("[session]\ntags = [{}, {a = 1}]", "session.tags has {} in it; each must be a name"),
        ("[session]\ntags = [{a = 1}]", "session.tags has {'a': 1} in it; each must be a name"),
        ("warm_up = [1]", "warm_up has 1 in it; each must be a name"),
        ("[session]\ntags = 1", 'session.tags is 1; it must be a list of names, such as ["pico", "left"]'),
        ("[session]\ntrace = 1", 'session.trace is 1; it must be the path of a file, or "none"'),
        ('[session]\ntrace = ""', "session.trace is ''; it must be the path of a file"),
        ("[session.communication]\nchunk = 0", "session.communication.chunk is 0; it must be a whole number of bytes"),
        ("[session.communication]\ndtr = 2", 'session.communication.dtr is 2; it must be true or false, or "none"'),
        ('[session.communication]\nprofile = "esp"', "session.communication.profile is 'esp'; did you mean 'esp-usb'?"),
        ("[session.retry]\nmax_attempts = 0", "session.retry.max_attempts is 0; it must be a whole number of at least"),
        (DEVICE + "baudrate = -1", "devices.sensor.baudrate is -1; it must be a whole number above 0, 115200 on most"),
        # Tables.
        ("session = 1", "session is 1; it must be a table, [session]"),
        ("devices = []", "devices is []; it must be a table, [devices.NAME]"),
        ("[[devices]]\nport = 1", "devices is [{'port': 1}]; it must be a table, [devices.NAME]"),
        ("devices.sensor = 'x'", "devices.sensor is 'x'; it must be a table, [devices.sensor]"),
        ("[session]\nretry = 3", "session.retry is 3; it must be a table, [session.retry]"),
        ("[session]\ncommunication = 'none'", "session.communication is 'none'; it must be a table, [session.communic"),
        # Boards.
        ("[devices.sensor]", 'devices.sensor has no port; add one, such as port = "/dev/ttyACM0" or usb = "2E8A:0005'),
        (DEVICE + 'usb = "2E8A:5"', "devices.sensor has both a port and usb; keep one, such as port = "),
        ('[devices.a]\nport = ""', 'devices.a.port is empty; name one, such as "/dev/ttyACM0"'),
        ("[devices.a]\nport = 3", "devices.a.port is 3; it must be text, a path or a URL"),
        ('[devices.a]\nusb = "pico"', "devices.a.usb is 'pico'; it must be VID:PID or VID:PID:SERIAL, such as"),
        ("[devices.a]\nusb = 0x2e8a", "devices.a.usb is 11914; it must be VID:PID or VID:PID:SERIAL, such as"),
        (DEVICE + "profile = 3", "devices.sensor.profile is 3; it must be the name of a profile, such as"),
        (DEVICE + 'profile = "slow"', "devices.sensor.profile: there is no profile 'slow'; the profiles are none"),
        (DEVICE + 'profile = "slw"\n[profiles.slow]', "devices.sensor.profile: there is no profile 'slw'; did you m"),
        ('warm_up = ["sensr"]\n' + DEVICE, "warm_up: there is no device 'sensr'; did you mean 'sensor'?"),
        ('warm_up = ["sensor"]', "warm_up: there is no device 'sensor'; the devices are none"),
    ],
)
def test_a_fault_of_the_file(refused: Refused, text: str, line: str) -> None:
    [told] = refused(text)
    assert told.startswith(f"belay.toml: {line}")


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"BELAY_MAX_SESIONS": "1"}, "BELAY_MAX_SESIONS is no setting; did you mean BELAY_MAX_SESSIONS?"),
        (
            {"BELAY_SESSION_IDLE_TIMEOUT": "1"},
            "BELAY_SESSION_IDLE_TIMEOUT is no setting; did you mean BELAY_SESSION__I",
        ),
        ({"BELAY_IDLE_TIMEOUT": "1"}, "BELAY_IDLE_TIMEOUT is no setting; did you mean BELAY_SESSION__IDLE_TIMEOUT?"),
        (
            {"BELAY_SESSION__MAX_WAITING": "1"},
            "BELAY_SESSION__MAX_WAITING is no setting; did you mean BELAY_MAX_WAITING?",
        ),
        (
            {"BELAY_DEVICES__A__PROT": "x", "BELAY_DEVICES__A__PORT": "y"},
            "BELAY_DEVICES__A__PROT is no setting; did you",
        ),
        ({"BELAY_LOCKDIR": "x"}, "BELAY_LOCKDIR is no setting; did you mean BELAY_LOCK_DIR?"),
        ({"BELAY_": "x"}, "BELAY_ is no setting"),
        ({"BELAY_FOO__BAR": "x"}, "BELAY_FOO__BAR is no setting; BELAY_ begins the names of settings: rename it, or"),
        ({"BELAY_" + "A__" * 3000: "x"}, "BELAY_A__A__"),
        ({"BELAY_MAX_SESSIONS": "8.0"}, "BELAY_MAX_SESSIONS is '8.0'; it must be a whole number of at least 1"),
        ({"BELAY_LEASE_TIMEOUT": "soon"}, "BELAY_LEASE_TIMEOUT: 'soon' is no duration; write seconds or a unit, as in"),
        ({"BELAY_LEAK_AFTER": "0"}, 'BELAY_LEAK_AFTER is 0.0; it must be a number of seconds above 0, or "none", such'),
        ({"BELAY_SESSION__PINNED": "maybe"}, "BELAY_SESSION__PINNED is 'maybe'; it must be true or false"),
        (
            {"BELAY_SESSION": "x"},
            "BELAY_SESSION is 'x', and names a table; set its options one by one: BELAY_SESSION__NAME",
        ),
        ({"BELAY_SESSION__RETRY": "3"}, "BELAY_SESSION__RETRY is '3', and names a table; set its options one by one"),
        ({"BELAY_DEVICES__A__TAGS": "x"}, "devices.a (BELAY_DEVICES__A__TAGS) has no port; add one"),
        ({"BELAY_WARM_UP": "a,b"}, "BELAY_WARM_UP: there is no device 'a'; the devices are none"),
        (
            {"BELAY_SESSION__RETRY": "none", "BELAY_SESSION__RETRY__DELAY": "1"},
            "BELAY_SESSION__RETRY__DELAY: it contradicts BELAY_SESSION__RETRY; unset one of them",
        ),
        (
            {"BELAY_MAX_SESSIONS": "1", "belay_max_sessions": "2"},
            "belay_max_sessions: it contradicts BELAY_MAX_SESSIONS; unset one of them",
        ),
    ],
)
def test_a_fault_of_the_environment(refused: Refused, environ: dict[str, str], line: str) -> None:
    told = refused("", environ)
    assert told[0].startswith(line)
    assert len(told) == 1 or "BELAY_WARM_UP" in environ


def test_devices_that_a_variable_cannot_tell_apart(refused: Refused) -> None:
    text = '[devices.left-arm]\nport = "a"\n[devices.left_arm]\nport = "b"'
    assert refused(text, {"BELAY_DEVICES__LEFT_ARM__PORT": "c"}) == [
        "BELAY_DEVICES__LEFT_ARM__PORT: it could mean any of left-arm, left_arm; rename all but one"
    ]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"max_sesions": 1}, "code: max_sesions is no option; did you mean 'max_sessions'?"),
        ({"session": {"idle_timeout": "soon"}}, "code: session.idle_timeout: 'soon' is no duration"),
        ({"leak_stacks": "x"}, "code: leak_stacks is 'x'; it must be True or False"),
        (
            {"leak_after": object},
            "code: leak_after is <class 'object'>; it must be a number of seconds above 0, or None",
        ),
        ({"devices": {"a": None}}, "code: devices.a is None; it must be a table, [devices.a]"),
        ({"devices": {3: {"prt": 1}}}, "code: devices.3.prt is no option; did you mean 'port'?"),
        ({"session": {"max_lifetime": 10**400}}, "code: session.max_lifetime is too large a number"),
        ({"max_sessions": None}, "code: max_sessions is None; it must be a whole number of at least 1"),
        ({"session": _nested(2000)}, "code has too many tables or lists in each other"),
        ({"session": object()}, "code: session is <object object at"),
    ],
)
def test_a_fault_of_code(refused: Refused, values: dict[str, Any], line: str) -> None:
    [told] = refused("", None, **values)
    assert told.startswith(line)


def test_all_faults_are_told_at_once_in_the_order_of_their_places(refused: Refused) -> None:
    text = "max_sesions = 1\n[devices.a]\nprt = 'x'\nbaudrate = 'fast'\n[session]\nretry.dely = 3\nidle_timeout = 'x'"
    told = refused(text, {"BELAY_FOO": "1", "BELAY_SESSION__PINNED": "x"}, bar=1)
    assert [line.split(" is ")[0].split(": '")[0] for line in told] == [
        "belay.toml: max_sesions",
        "belay.toml: devices.a.prt",
        "belay.toml: devices.a.baudrate",
        "belay.toml: session.retry.dely",
        "belay.toml: session.idle_timeout",
        "BELAY_FOO",
        "BELAY_SESSION__PINNED",
        "code: bar",
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a = = 3", "belay.toml is no TOML: Invalid value (at line 1, column 5)"),
        (b"a = 1\n[b", "is no TOML: Expected ']' at the end of a table declaration (at line 2, column 3, the end)"),
        (b"a = 1\na = 2", "is no TOML: Cannot overwrite a value (at line 2, column 6, the end)"),
        ("max_sessions = 1 # é".encode("latin-1"), "belay.toml is not UTF-8 (byte 19); save it as UTF-8"),
        ("max_sessions = 1".encode("utf-16"), "belay.toml is not UTF-8 (byte 0); save it as UTF-8"),
        (b"max_sessions = " + b"9" * 5000, "belay.toml has a value that cannot be read: "),
        (b"a = 2026-02-30", "belay.toml "),
        (b"a = " + b"[" * 20000, "belay.toml "),
        (b"a = " + b"[" * 50 + b"]" * 50, "belay.toml has too many tables or lists in each other"),
        (b".".join([b"a"] * 5000) + b" = 1", "belay.toml has too many tables or lists in each other"),
        (b"session." + b".".join([b"idle_timeout"] * 50) + b" = 1", "belay.toml has too many tables or lists"),
        (b"#" * (2**20 + 1), "belay.toml is longer than 1048576 bytes"),
        (b"\0", "belay.toml is no TOML: "),
    ],
    ids=range(13),
)
def test_what_is_no_settings_file(folder: Path, data: bytes, words: str) -> None:
    (folder / "belay.toml").write_bytes(data)
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_no_file_at_all(folder: Path) -> None:
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    for name, words in (
        ("folder", "folder is a folder; name a settings file, such as belay.toml"),
        ("pipe", "pipe is no plain file; name a settings file"),
        ("/dev/zero", "/dev/zero is no plain file"),
        ("a\0b", "cannot be read"),
        ("x" * 5000, "cannot be read (File name too long)"),
        ("/dev/null/x", "cannot be read (Not a directory)"),
        (3, "the settings file is 3; it must be the path of a file"),
        (b"belay.toml", "the settings file is b'belay.toml'; it must be the path of a file"),
    ):
        with pytest.raises(SettingsError) as refusal:
            load_settings(name)  # type: ignore[arg-type]  # wrong ones are the point
        assert words in str(refusal.value)
        assert len(str(refusal.value)) < 500


def test_a_folder_in_place_of_the_default_file(folder: Path) -> None:
    (folder / "belay.toml").mkdir()
    with pytest.raises(SettingsError, match=r"^belay.toml is a folder; name a settings file"):
        load_settings()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_file_that_may_not_be_read(folder: Path) -> None:
    (folder / "belay.toml").touch(mode=0)
    mine = os.geteuid()
    if mine == 0:  # who may read anything
        os.seteuid(65534)
    try:
        with pytest.raises(
            SettingsError, match=r"^belay.toml cannot be read \(Permission denied\); name a file that can"
        ):
            load_settings()
    finally:
        os.seteuid(mine)


def test_a_value_of_a_megabyte_makes_a_short_line(refused: Refused) -> None:
    [told] = refused(f'on_close = "{"x" * 1_000_000}"')
    assert len(told) < 500


@pytest.mark.parametrize("kind", ["devices", "profiles"])
def test_names_that_are_empty(refused: Refused, kind: str) -> None:
    options = "baudrate = 1" if kind == "profiles" else 'port = "virtual:"'
    said = f'belay.toml: {kind}."": the name is empty; give it one, as in [{kind}.NAME]'
    assert refused(f'[{kind}.""]\n{options}') == [said]


@pytest.mark.skipif(os.name == "nt", reason="variables are text on Windows")
def test_names_of_variables_that_are_no_text(refused: Refused) -> None:
    assert refused(environ={"BELAY_\udcff": "1", "BELAY_DEVICES__\udcff__PORT": "x"}) == [
        "'BELAY_DEVICES__\\udcff__PORT' is no setting; its name is not UTF-8: rename it, or unset it",
        "'BELAY_\\udcff' is no setting; its name is not UTF-8: rename it, or unset it",
    ]


@pytest.mark.parametrize("values", [{"\udcff": 1}, {"session": {"\udcff": 1}}, {"devices": {"\udcff": {"port": "x"}}}])
def test_names_in_code_that_are_no_text(refused: Refused, values: dict[str, Any]) -> None:
    assert refused(**values) == ["code: '\\udcff' is no name of a setting; it is not UTF-8"]


def test_a_path_that_is_empty() -> None:
    with pytest.raises(SettingsError, match="^the settings file is ''; name one that exists"):
        load_settings("")


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("5m")
_NAMES = st.sampled_from(
    [
        "session",
        "devices",
        "profiles",
        "retry",
        "communication",
        "port",
        "usb",
        "profile",
        "tags",
        "idle_timeout",
        "a",
        "max_sessions",
        "warm_up",
        "trace",
        "checkin",
        "dtr",
        "delay",
    ]
)
_TREES = st.recursive(
    _SCALARS | st.lists(_SCALARS, max_size=3),
    lambda inner: st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example({"session": {"retry": {"delay": {"a": 1}}}, "devices": {"": {"port": "x"}}})
@given(st.dictionaries(_NAMES, _TREES, max_size=4))
def test_any_tree_is_taken_or_refused_by_us(tree: dict[str, Any]) -> None:
    try:
        settings = load_settings(**tree)
    except SettingsError as refusal:
        assert str(refusal)  # noqa: PT017  what is looked at is that nothing else is raised
    else:
        assert list(settings.effective_values())


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_taken_or_refused_by_us(folder: Path, data: bytes) -> None:
    (folder / "any.toml").write_bytes(data)
    try:
        read_file("any.toml", {})
    except SettingsError as refusal:
        assert str(refusal).startswith("any.toml ")  # noqa: PT017  as above
