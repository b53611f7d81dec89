"""The board's file system, in memory and in a folder of the host."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from belay_py.errors import VirtualBoardUnavailable
from belay_py.virtual.filesystem import Filesystem, FolderFiles, MemoryFiles, normal

from .conftest import Client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from belay_py.virtual import BoardProcess


@pytest.fixture(params=["memory", "folder"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Filesystem:
    return MemoryFiles(1 << 20) if request.param == "memory" else FolderFiles(tmp_path)


def put(files: Filesystem, path: str, data: bytes) -> None:
    file = files.open(path, write=True, create=True, truncate=True)
    file.write(0, data)
    file.close()


def get(files: Filesystem, path: str) -> bytes:
    file = files.open(path, write=False, create=False, truncate=False)
    try:
        return file.read(0, 1 << 20)
    finally:
        file.close()


def fails(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  the number is checked below
        call()
    assert caught.value.errno == number


def test_a_tree_of_files(files: Filesystem) -> None:
    files.mkdir("/d")
    put(files, "/d/a", b"one")
    put(files, "/d/a", b"two!")
    assert get(files, "/d/a") == b"two!"
    assert files.list("/d") == ["a"]
    assert files.list("/") == ["d"]
    assert files.stat("/d").is_dir
    assert files.stat("/d/a").size == 4
    files.rename("/d", "/e")
    assert get(files, "/e/a") == b"two!"
    put(files, "/b", b"three")
    files.rename("/b", "/e/a")
    assert get(files, "/e/a") == b"three"
    files.remove("/e/a")
    files.rmdir("/e")
    assert files.list("/") == []


def test_its_errors(files: Filesystem) -> None:
    files.mkdir("/d")
    put(files, "/d/f", b"")
    fails(errno.ENOENT, lambda: files.stat("/x"))
    fails(errno.ENOENT, lambda: files.mkdir("/x/y"))
    fails(errno.ENOENT, lambda: files.open("/x", write=False, create=False, truncate=False))
    fails(errno.ENOENT, lambda: files.remove("/x"))
    fails(errno.EEXIST, lambda: files.mkdir("/d"))
    fails(errno.ENOTDIR, lambda: files.list("/d/f"))
    fails(errno.ENOTDIR, lambda: files.rmdir("/d/f"))
    fails(errno.ENOTEMPTY, lambda: files.rmdir("/d"))
    fails(errno.EISDIR, lambda: files.remove("/d"))
    fails(errno.EBUSY, lambda: files.rmdir("/"))


def test_memory_is_finite() -> None:
    files = MemoryFiles(10)
    put(files, "/a", b"12345")
    fails(errno.ENOSPC, lambda: put(files, "/b", b"123456"))
    put(files, "/b", b"12345")
    assert files.space() == (10, 0)


def test_nothing_leads_out_of_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("s")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "up").symlink_to(tmp_path)
    (inside / "fine").symlink_to(inside / "real")
    (inside / "real").write_text("ok")
    files = FolderFiles(inside)
    for path in ("/link", "/up/secret", "/up"):
        fails(errno.EACCES, lambda path=path: files.stat(path))  # type: ignore[misc]
        fails(errno.EACCES, lambda path=path: put(files, path, b"x"))  # type: ignore[misc]
    fails(errno.EACCES, lambda: files.rename("/real", "/up/real"))
    fails(errno.EACCES, lambda: files.mkdir("/up/new"))
    assert normal("/../../secret") == "/secret"
    assert get(files, "/fine") == b"ok"
    files.remove("/link")
    assert (tmp_path / "secret").read_text() == "s"


@pytest.mark.parametrize(
    ("path", "cwd", "expected"),
    [("a", "/", "/a"), ("a", "/b", "/b/a"), ("../a", "/b/c", "/b/a"), ("/a//./b/", "/", "/a/b"), ("..", "/", "/")],
)
def test_normal_paths(path: str, cwd: str, expected: str) -> None:
    assert normal(path, cwd) == expected


def test_the_board_uses_it(repl: Client) -> None:
    assert repl.output(
        "import os\n"
        "os.mkdir('/lib')\n"
        "f = open('/lib/m.py', 'w'); f.write('X = 7\\n'); f.close()\n"
        "import m\n"
        "print(m.X, os.listdir('/'), os.stat('/lib/m.py')[6])\n"
        "with open('a', 'wb') as f: f.write(b'0123456789')\n"
        "with open('a', 'ab') as f: f.write(b'!')\n"
        "with open('a', 'r+b') as f:\n f.seek(3); f.write(b'xyz'); f.seek(-2, 2); print(f.read(), f.tell())\n"
        "print(open('a').read(), open('a','rb').readline())\n"
        "os.chdir('/lib'); print(os.getcwd(), os.listdir()); os.chdir('/')\n"
        "os.rename('a', 'b'); os.remove('b'); print(sorted(os.ilistdir('/'))[0][:2])"
    ) == ("7 ['lib'] 6\r\nb'9!' 11\r\n012xyz6789! b'012xyz6789!'\r\n/lib ['m.py']\r\n('lib', 16384)\r\n")


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("open('/none')", 2),
        ("os.listdir('/none')", 2),
        ("os.mkdir('/d')", 17),
        ("os.rmdir('/d')", 39),
        ("os.remove('/d')", 21),
        ("open('/d', 'w')", 21),
        ("os.listdir('/d/f')", 20),
        ("os.chdir('/d/f')", 20),
        ("os.chdir('/none')", 2),
        ("open('/rom/machine.py', 'w')", 30),
        ("os.remove('/rom/machine.py')", 30),
        ("open('/rom/hw/nothing').read()", 2),
        ("f = open('/d/f'); f.seek(-1)", 22),
    ],
)
def test_error_numbers_are_micropythons(repl: Client, code: str, number: int) -> None:
    prepare = "import os\nos.mkdir('/d')\nopen('/d/f', 'w').close()\n"
    assert repl.output(f"{prepare}try:\n {code}\nexcept OSError as e: print(e.errno)") == f"{number}\r\n"


def test_a_folder_of_the_host(make_board: Callable[..., BoardProcess], tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('FROM HOST')")
    with make_board(folder=str(tmp_path)).open_wire() as end:
        repl = Client(end)
        repl.read_until(b"FROM HOST\r\n")
        repl.read_until(b">>> ")
        repl.enter_raw()
        repl.output("import os\nos.mkdir('d')\nf = open('d/x.bin', 'wb'); f.write(bytes(range(256))); f.close()")
        assert (tmp_path / "d" / "x.bin").read_bytes() == bytes(range(256))
        assert repl.output("import os\nprint(sorted(os.listdir()))") == "['d', 'main.py']\r\n"
        assert "13" in repl.output("try: open('/../../etc/x', 'w')\nexcept OSError as e: print(13)\nelse: print(0)")


def test_a_missing_folder_is_named(make_board: Callable[..., BoardProcess], tmp_path: Path) -> None:
    with pytest.raises(VirtualBoardUnavailable, match=r"there is no folder .*nowhere; create it"):
        make_board(folder=str(tmp_path / "nowhere"))
