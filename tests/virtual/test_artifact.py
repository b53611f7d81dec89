"""Where MicroPython's binary comes from, and what is said when it does not."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from belay_py.errors import VirtualBoardUnavailable
from belay_py.virtual import artifact
from belay_py.virtual.firmware import MEMBER, PACKAGE, SHA256, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def binary() -> bytes:
    """The true binary, from wherever this machine has it."""
    return artifact.load()


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, binary: bytes) -> Path:
    """An empty cache, no path in the environment and no npm."""
    monkeypatch.delenv(artifact.PATH_VARIABLE, raising=False)
    monkeypatch.setenv(artifact.CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


class Cdn:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.paths: list[str] = []
        cdn = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                cdn.paths.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(cdn.content)))
                self.end_headers()
                self.wfile.write(cdn.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/npm"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def cdn(binary: bytes) -> Iterator[Cdn]:
    server = Cdn(binary)
    yield server
    server.server.shutdown()
    server.server.server_close()


def fake_npm(folder: Path, script: str) -> None:
    npm = folder / "bin" / "npm"
    npm.write_text(f"#!{sys.executable}\n{script}")
    npm.chmod(0o755)


def packing_npm(folder: Path, content: bytes, member: str = MEMBER) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    (folder / "package.tgz").write_bytes(buffer.getvalue())
    fake_npm(
        folder,
        "import shutil, sys\n"
        f"assert sys.argv[1:] == ['pack', '--silent', {f'{PACKAGE}@{VERSION}'!r}], sys.argv\n"
        f"shutil.copy({str(folder / 'package.tgz')!r}, 'any-name.tgz')\n",
    )


def test_the_path_comes_first(alone: Path, binary: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "mine.wasm").write_bytes(binary)
    monkeypatch.setenv(artifact.PATH_VARIABLE, str(alone / "mine.wasm"))
    fake_npm(alone, "raise SystemExit(1)")
    assert artifact.load(NOWHERE) == binary
    assert not (alone / "cache").exists()


def test_a_bad_path_is_an_error_and_no_reason_to_look_elsewhere(
    alone: Path, cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(artifact.PATH_VARIABLE, str(alone / "none.wasm"))
    with pytest.raises(VirtualBoardUnavailable, match=r"none\.wasm, which cannot be read .*; correct or unset it"):
        artifact.load(cdn.url)
    (alone / "none.wasm").write_bytes(b"other")
    with pytest.raises(VirtualBoardUnavailable) as caught:
        artifact.load(cdn.url)
    message = str(caught.value)
    assert hashlib.sha256(b"other").hexdigest() in message
    assert SHA256 in message
    assert "unset BELAY_VIRTUAL_WASM" in message
    assert "\n" not in message
    assert cdn.paths == []


def test_npm_comes_before_the_cdn_and_fills_the_cache(alone: Path, binary: bytes, cdn: Cdn) -> None:
    packing_npm(alone, binary)
    assert artifact.load(cdn.url) == binary
    assert cdn.paths == []
    (alone / "bin" / "npm").unlink()
    assert artifact.load(NOWHERE) == binary


@pytest.mark.parametrize("script", ["raise SystemExit(1)", "pass", "open('x.tgz', 'wb').write(b'not an archive')"])
def test_the_cdn_helps_when_npm_fails(alone: Path, binary: bytes, cdn: Cdn, script: str) -> None:
    fake_npm(alone, script)
    assert artifact.load(cdn.url) == binary
    assert cdn.paths == [f"/npm/{PACKAGE}@{VERSION}/micropython.wasm"]
    assert artifact.load(NOWHERE) == binary


def test_an_npm_that_hangs_is_given_up(alone: Path, binary: bytes, cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(alone, "import time\ntime.sleep(1000)")
    monkeypatch.setattr(artifact, "_NPM_TIMEOUT", 0.2)
    assert artifact.load(cdn.url) == binary


def test_an_archives_names_become_no_paths(alone: Path, binary: bytes, cdn: Cdn) -> None:
    packing_npm(alone, b"evil", "../../evil")
    assert artifact.load(cdn.url) == binary
    assert not list(alone.parent.rglob("evil"))


def test_a_wrong_download_is_refused_and_not_cached(alone: Path, cdn: Cdn) -> None:
    cdn.content = b"something else"
    with pytest.raises(VirtualBoardUnavailable) as caught:
        artifact.load(cdn.url)
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert SHA256 in str(caught.value)
    assert not (alone / "cache").exists()


def test_a_damaged_cache_is_fetched_again(alone: Path, binary: bytes, cdn: Cdn) -> None:
    (alone / "cache").mkdir()
    (alone / "cache" / artifact._CACHED_NAME).write_bytes(binary[:1000])
    assert artifact.load(cdn.url) == binary
    assert (alone / "cache" / artifact._CACHED_NAME).read_bytes() == binary


def test_without_any_source_the_error_says_what_to_run(alone: Path) -> None:
    with pytest.raises(VirtualBoardUnavailable) as caught:
        artifact.load(NOWHERE)
    message = str(caught.value)
    assert f"'npm pack {PACKAGE}@{VERSION}'" in message
    assert artifact.PATH_VARIABLE in message
    assert "npm: not installed" in message
    assert "\n" not in message


def test_an_unwritable_cache_is_no_obstacle(
    alone: Path, binary: bytes, cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone / "file").write_text("in the way")
    monkeypatch.setenv(artifact.CACHE_VARIABLE, str(alone / "file" / "cache"))
    assert artifact.load(cdn.url) == binary
    assert artifact.load(cdn.url) == binary
    assert len(cdn.paths) == 2
    assert not artifact.write_cache("x", b"")


def test_many_processes_fill_one_cache(alone: Path, cdn: Cdn) -> None:
    code = (
        "import hashlib, sys\nfrom belay_py.virtual import artifact, compiled\n"
        f"b = artifact.load({cdn.url!r})\nprint(hashlib.sha256(b).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) for _ in range(4)
    ]
    assert {worker.communicate()[0].strip().decode() for worker in workers} == {SHA256}
    assert [file.name for file in (alone / "cache").iterdir()] == [artifact._CACHED_NAME]


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/u/.cache/belay_py"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/belay_py"),
        ("darwin", {}, "/home/u/Library/Caches/belay_py"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/belay_py/Cache"),
        ("win32", {}, "/home/u/AppData/Local/belay_py/Cache"),
        ("linux", {"BELAY_CACHE_DIR": "/b"}, "/b"),
    ],
)
def test_the_cache_is_where_the_system_wants_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: str
) -> None:
    for name in ("BELAY_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/u", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert artifact.cache_folder().as_posix() == expected
