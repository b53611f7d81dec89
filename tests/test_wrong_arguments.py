"""Arguments that are none, over all that is public: an error of ours says what is right, and nothing foreign leaves."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import belay_py
from belay_py import BelayError, DeviceSessionManagerOptions, DeviceSessionOptions, SettingsError, sync
from belay_py.virtual import BoardProcess, VirtualBoard, VirtualBoardOptions, open_board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAN = math.nan
FACES = pytest.mark.parametrize("face", [belay_py, sync], ids=["asyncio", "blocking"])

# What is made without a board: the name of a public callable, its arguments, and what the message says.
MADE: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("DeviceSession", (None,), {}, "has no port; name one"),
    ("DeviceSession", (Path("/dev/ttyACM0"),), {}, "port is .* it must be text, a path or a URL"),
    ("DeviceSession", ("virtual:",), {"tags": "arm"}, "tags is 'arm'; it must be a set of names"),
    ("DeviceSession", ("virtual:",), {"operation_timeout": NAN}, "it must be a number of seconds above 0"),
    ("build_session", (None,), {}, "the profile is None; it must be a mapping"),
    ("build_session", ({"port": Path("/dev/x")},), {}, "it must be text, a path or a URL"),
    ("DeviceSessionManager", ("belay.toml",), {}, "pass .* what load_settings"),
    ("DeviceSessionManager", (), {"devices": ["virtual:"]}, "devices is .* it must be a mapping of names to ports"),
    ("DeviceSessionManager", (), {"devices": None}, "devices is None; it must be a mapping of names to ports"),
    ("DeviceSessionManager", (), {"devices": {"a": Path("/dev/x")}}, "devices.a is .* it must be a port, such as"),
    ("DeviceSessionManager", (), {"devices": {"a": {"port": "virtual:"}}}, "devices.a is .* it must be a port"),
    ("DeviceSessionManager", (), {"devices": {"a": DeviceSessionOptions}}, "devices.a is .* it must be a port"),
    ("DeviceSessionManager", (), {"devices": {"a": ""}}, "devices.a: port is empty; name one"),
    ("DeviceSessionManager", (), {"devices": {"": "virtual:"}}, "device_id is ''; it must be text"),
    ("DeviceSessionManager", (), {"devices": {1: "virtual:"}}, "device_id is 1; it must be text"),
    ("DeviceSessionManager", (), {"profiles": ["a"]}, "profiles is .* it must be a mapping of names to options"),
    ("DeviceSessionManager", (), {"profiles": None}, "profiles is None; it must be a mapping of names to options"),
    ("DeviceSessionManager", (), {"profiles": {"a": "x"}}, "profiles.a is 'x'; it must be a mapping of options"),
    ("DeviceSessionManager", (), {"profiles": {"a": DeviceSessionOptions(port="x")}}, "profiles.a is .* a mapping"),
    ("DeviceSessionManager", (), {"profiles": {"a": {"idle_timeout": "x"}}}, "profiles.a: idle_timeout is 'x'"),
    ("DeviceSessionManager", (), {"profiles": {"a": {"tags": "arm"}}}, "profiles.a: tags is 'arm'; .* a set of names"),
    ("DeviceSessionManager", (), {"defaults": None}, "defaults is None; it must be a mapping of options"),
    ("DeviceSessionManager", (), {"defaults": "x"}, "defaults is 'x'; it must be a mapping of options"),
    ("DeviceSessionManager", (), {"defaults": DeviceSessionOptions(port="x")}, "defaults is .* a mapping of options"),
    ("DeviceSessionManager", (), {"defaults": {"idle_timeout": -1}}, "defaults: idle_timeout is -1; it must be"),
    ("DeviceSessionManager", (), {"warm_up": None}, "warm_up is None; it must be several names"),
    ("DeviceSessionManager", (), {"warm_up": "left"}, "warm_up is 'left'; it must be several names"),
    ("DeviceSessionManager", (), {"warm_up": ["left"]}, "warm_up has 'left' in it, which is no device"),
    ("DeviceSessionManager", (), {"close_grace": NAN}, "close_grace is nan; it must be"),
]


@FACES
@pytest.mark.parametrize(("name", "arguments", "options", "message"), MADE)
def test_what_cannot_be_made(face: Any, name: str, arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        getattr(face, name)(*arguments, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VirtualBoard(5), "5 cannot name a virtual board; use"),  # type: ignore[arg-type]  # on purpose
        (lambda: VirtualBoard(window="3"), "window must be between 1 and 32767, a whole number, not '3'"),  # type: ignore[arg-type]  # as above
        (lambda: VirtualBoard(window=None), "window must be between .* not None"),  # type: ignore[arg-type]  # as above
        (lambda: VirtualBoard(memory=1.5e6), "memory must be between .* a whole number, not 1500000.0"),  # type: ignore[arg-type]  # as above
        (lambda: VirtualBoard(keeps_power="no"), "keeps_power must be True or False, not 'no'"),  # type: ignore[arg-type]  # as above
        (lambda: VirtualBoard(unique_id="01ff"), "unique_id must be bytes, or None, not '01ff'"),  # type: ignore[arg-type]  # as above
        (lambda: VirtualBoard(folder=5), "folder must be the path of a folder, or None, not 5"),  # type: ignore[arg-type]  # as above
        (lambda: BoardProcess("x", {"window": 3}), r"pass VirtualBoardOptions\(...\)"),  # type: ignore[arg-type]  # as above
        (lambda: BoardProcess().set_adc(1, "5"), "an ADC reads 0 to 65535, not '5'"),  # type: ignore[arg-type]  # as above
        (lambda: open_board(None), "None does not name a virtual board; write"),  # type: ignore[arg-type]  # as above
    ],
)
def test_virtual_boards_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(BelayError, match=message):
        make()


def test_a_folder_may_be_any_kind_of_path(tmp_path: Path) -> None:
    options = VirtualBoardOptions(folder=tmp_path)
    assert options.folder == str(tmp_path)
    assert VirtualBoardOptions.from_json(options.to_json()) == options


@FACES
async def test_a_device_may_be_a_port_alone_which_gets_the_defaults(face: Any) -> None:
    options = DeviceSessionManagerOptions(
        devices={"left": "virtual:", "right": DeviceSessionOptions(port="COM3")},  # type: ignore[dict-item]  # a port stands for options
        defaults={"operation_timeout": 7},
        warm_up=(name for name in ["left"]),  # type: ignore[arg-type]  # any collection
    )
    assert options.devices == {
        "left": DeviceSessionOptions(port="virtual:", operation_timeout=7),
        "right": DeviceSessionOptions(port="COM3"),
    }
    assert options.warm_up == ("left",)

    def use() -> None:
        with sync.DeviceSessionManager(devices={"left": "virtual:"}) as manager, manager.lease("left") as session:
            assert session.execute("print(1)").output == "1\n"

    if face is sync:
        await asyncio.to_thread(use)
    else:
        async with face.DeviceSessionManager(devices={"left": "virtual:"}) as manager, manager.lease("left") as session:
            assert (await session.execute("print(1)")).output == "1\n"


# What a manager with the session "a" refuses. Names that cannot be hashed are what is left of `lease(["a", "b"])`.
OF_MANAGER: list[tuple[Callable[[Any], Any], str]] = [
    (lambda it: it.create_session(None), "device_id is None; it must be text"),
    (lambda it: it.create_session("b", Path("/dev/x")), "it must be text, a path or a URL"),
    (lambda it: it.create_session("b", "virtual:", profile=["p"]), r"there is no profile \['p'\]; the profiles are"),
    (lambda it: it.create_session("b", "virtual:", on_connect=5), "on_connect is 5; it must be a function"),
    (lambda it: it.ensure(["a"]), r"device_id is \['a'\]; it must be text"),
    (lambda it: it.ensure("b", "virtual:", on_connect=5), "on_connect is 5; it must be a function"),
    (lambda it: it.build_session(None), "profile is None; it must be a mapping of options"),
    (lambda it: it.build_session([("port", "virtual:")]), "profile is .* it must be a mapping of options"),
    (lambda it: it.get(["a"]), r"device_id is \['a'\]; it must be text"),
    (lambda it: it[["a"]], r"device_id is \['a'\]; it must be text"),
    (lambda it: it.remove(["a"]), r"device_id is \['a'\]; it must be text"),
    (lambda it: it.remove("a", grace=NAN), "grace is nan; it must be a number of seconds, 0 or more"),
    (lambda it: it.idle_sessions("5"), "older_than is '5'; it must be a number of seconds, 0 or more"),
    (lambda it: it.find(tags="arm"), "tags is 'arm'; it must be a set of names"),
    (lambda it: it.find(state="IDLE"), r"state is 'IDLE'; it must be DeviceSessionState"),
    (lambda it: it.find(port=5), "port is 5; it must be text"),
    (lambda it: it.find(identity=b"x"), "identity is b'x'; it must be text"),
    (lambda it: it.lease(["a", "b"]), r"device_id is \['a', 'b'\]; it must be text"),
    (lambda it: it.lease(tags="arm"), "tags is 'arm'; it must be a set of names"),
    (lambda it: it.lease("a", timeout=NAN), "timeout is nan; it must be a number of seconds, 0 or more"),
    (lambda it: it.warm_up(["a"]), r"device_id is \['a'\]; it must be text"),
    (lambda it: it.warm_up("a", progress=True), "progress is True; it must be a function, or None"),
    (lambda it: it.take_over(["a"]), r"device_id is \['a'\]; it must be text"),
    (lambda it: it.take_over(timeout=-1), "timeout is -1; it must be a number of seconds, 0 or more"),
    (lambda it: it.release_quarantine(["a"]), r"device_id is \['a'\]; it must be text"),
    (lambda it: it.add_cleanup("x", 5), "which cannot be called; pass a function"),
    (lambda it: it.close(NAN), "grace is nan; it must be a number of seconds, 0 or more"),
]


@FACES
async def test_what_a_manager_is_not_to_do(face: Any) -> None:
    manager = face.DeviceSessionManager()

    async def came_of(call: Callable[[], Any]) -> Any:
        if face is sync:
            return await asyncio.to_thread(call)
        found = call()
        return await found if inspect.isawaitable(found) else found

    await came_of(lambda: manager.create_session("a", "virtual:", connect=False))
    for call, message in OF_MANAGER:
        with pytest.raises(SettingsError, match=message):
            await came_of(functools.partial(call, manager))
    assert await came_of(manager.ids) == ("a",)
    await came_of(manager.close)


@pytest.fixture(scope="module")
def session(direct_board: BoardProcess) -> Iterator[sync.DeviceSession]:
    with sync.DeviceSession(direct_board.port) as session:
        session.files.write_bytes("/x", b"content")
        yield session


def read(session: sync.DeviceSession, size: Any) -> object:
    with session.files.open("/x") as file:
        return file.read(size)


# The blocking face, which passes its arguments on; those of executions are in session/test_bad_arguments.py.
OF_FILES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda it: it.files.put(b"x", "/x", progress=True), "progress is True; it must be a function, or None"),
    (lambda it: it.files.get("/x", progress=True), "progress is True; it must be a function, or None"),
    (lambda it: it.files.sync("docs", "/d", progress=True, dry_run=True), "progress is True; it must be a function"),
    (lambda it: it.files.put(b"x", Path("/x")), "target is .* it must be the path of a file on the board, as text"),
    (lambda it: it.files.list(Path("/")), "path is .* it must be the path of a file on the board, as text"),
    (lambda it: it.files.read_text("/x", encoding="a\0b"), "is no text in .* read_bytes"),
    (lambda it: it.files.write_text("/x", "x", encoding="a\0b"), "cannot be written in"),
    (lambda it: it.files.compile("pass", name="\ud800"), "it must be text that can name a file, such as 'module.py'"),
    (lambda it: it.files.sync("docs", "/d", ignore="*.pyc", dry_run=True), "it must be several patterns"),
    (lambda it: read(it, "5"), "size is '5'; it must be a number of bytes, or -1"),
    (lambda it: read(it, None), "size is None; it must be a number of bytes, or -1"),
]


@pytest.mark.parametrize(("call", "message"), OF_FILES)
def test_what_is_no_file_and_no_way_to_take_one(
    session: sync.DeviceSession, call: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(BelayError, match=message):
        call(session)
    assert session.files.read_bytes("/x") == b"content"
