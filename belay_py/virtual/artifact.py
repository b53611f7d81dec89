"""Find MicroPython's binary: a path in the environment, the cache, ``npm``, a public copy of the package.

The binary is not part of this package: it is MicroPython's own, published by its maintainers on npm. Whatever the way,
it must have the pinned sha256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from belay_py.errors import VirtualBoardUnavailable
from belay_py.virtual.firmware import MEMBER, PACKAGE, SHA256, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

PATH_VARIABLE = "BELAY_VIRTUAL_WASM"
CACHE_VARIABLE = "BELAY_CACHE_DIR"
CDN = "https://cdn.jsdelivr.net/npm"
_NPM_TIMEOUT = 60.0
_HTTP_TIMEOUT = 30.0
_LARGEST = 16 << 20
_CACHED_NAME = f"micropython-{VERSION}.wasm"


def cache_folder() -> Path:
    """Give the folder for files that can be fetched or made again; ``BELAY_CACHE_DIR`` overrides it."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    home = Path("~").expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "belay_py" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "belay_py"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "belay_py"


def read_cache(name: str) -> bytes | None:
    """Give a cached file's bytes, or None."""
    try:
        return (cache_folder() / name).read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        return None


def write_cache(name: str, data: bytes) -> bool:
    """Store a file for the next time, whole or not at all; tell whether that worked. It is only a cache."""
    temporary = None
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(prefix=f"{name}.", dir=folder)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        Path(temporary).replace(folder / name)
    except (OSError, RuntimeError):
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        return False
    return True


def load(cdn: str = CDN) -> bytes:
    """Give the binary, from the first place that has it. Raises VirtualBoardUnavailable, which says what to run."""
    chosen = os.environ.get(PATH_VARIABLE)
    if chosen:
        return _from_path(chosen)
    cached = read_cache(_CACHED_NAME)
    if cached is not None and _sum(cached) == SHA256:
        return cached
    failures = []
    sources: tuple[tuple[str, Callable[[], bytes]], ...] = (("npm", _from_npm), (cdn, lambda: _from_cdn(cdn)))
    for name, fetch in sources:
        try:
            binary = fetch()
        except _NotThere as reason:
            failures.append(f"{name}: {reason}")
            continue
        _verify(binary, name, "delete what gave it, or name a good copy in BELAY_VIRTUAL_WASM")
        write_cache(_CACHED_NAME, binary)
        return binary
    raise VirtualBoardUnavailable(
        f"the virtual board's MicroPython could not be fetched ({'; '.join(failures)}); where there is a network run "
        f"'npm pack {PACKAGE}@{VERSION}', unpack it, and set {PATH_VARIABLE} to its micropython.wasm"
    )


class _NotThere(Exception):
    """A reason to try the next source."""


def _sum(binary: bytes) -> str:
    return hashlib.sha256(binary).hexdigest()


def _verify(binary: bytes, origin: str, advice: str) -> None:
    found = _sum(binary)
    if found != SHA256:
        raise VirtualBoardUnavailable(
            f"the MicroPython from {origin} has the sha256 {found}, not {SHA256} of {PACKAGE} {VERSION}; {advice}"
        )


def _from_path(path: str) -> bytes:
    try:
        binary = Path(path).read_bytes()
    except OSError as error:
        raise VirtualBoardUnavailable(
            f"{PATH_VARIABLE} names {path}, which cannot be read ({error.strerror}); correct or unset it"
        ) from error
    _verify(binary, path, f"correct or unset {PATH_VARIABLE}")
    return binary


def _from_npm() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise _NotThere("not installed")
    with tempfile.TemporaryDirectory(prefix="belay-npm-", ignore_cleanup_errors=True) as folder:
        try:
            done = subprocess.run(  # noqa: S603  a fixed command
                [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_NPM_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _NotThere(f"no answer in {_NPM_TIMEOUT:.0f} s") from None
        except OSError as error:
            raise _NotThere(str(error)) from error
        archives = sorted(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            raise _NotThere(f"'npm pack' ended with {done.returncode}")
        return _member(archives[0])


def _member(archive: Path) -> bytes:
    """Read the one file, without unpacking: no name in the archive becomes a path here."""
    try:
        with tarfile.open(archive) as tar:
            file = tar.extractfile(MEMBER)
            if file is None:
                raise _NotThere(f"{MEMBER} is not a file")
            return file.read(_LARGEST)
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise _NotThere(f"the package cannot be read: {error}") from error


def _from_cdn(base: str) -> bytes:
    import http.client  # noqa: PLC0415  a download is rare
    import urllib.request  # noqa: PLC0415

    url = f"{base}/{PACKAGE}@{VERSION}/{MEMBER.removeprefix('package/')}"
    try:
        with urllib.request.urlopen(url, timeout=_HTTP_TIMEOUT) as answer:  # noqa: S310  the base is ours
            binary = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise _NotThere(str(getattr(error, "reason", error)) or type(error).__name__) from error
    if not isinstance(binary, bytes):
        raise _NotThere("no bytes")
    return binary
