"""An environment of its own for every tool, made by ``venv`` and ``pip`` when first needed, in the user's cache."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.compiled import cache

TIMEOUT = 600.0
_COUNT = """
import importlib.metadata as m, json, pathlib, sys
own = {d.metadata["Name"].lower(): d for d in m.distributions()}
for name in ("pip", "setuptools"):
    own.pop(name, None)
size = sum(f.locate().stat().st_size for d in own.values() for f in d.files or () if f.locate().is_file())
print(json.dumps({"distributions": len(own), "megabytes": round(size / 1e6, 1)}))
"""


class NotInstalled(Exception):
    """A tool has no environment here; the message is the reason that the report gives."""


@dataclass(frozen=True)
class Tool:
    """One tool: the driver that runs it, and what pip installs for it (nothing: it runs where this program does)."""

    name: str
    title: str
    driver: str
    requirement: str = ""


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("floor", "floor", "floor:Floor"),
        Tool("plain", "floor, unmarked", "floor:PlainFloor"),
        Tool("belay_py", "belay_py", "ours:Ours"),
        Tool("blocking", "belay_py, blocking", "ours:OursBlocking"),
        Tool("mpremote", "mpremote", "tools:Mpremote", "mpremote==1.29.0"),
        Tool("belay", "belay", "tools:Belay", "belay==0.30.1"),
        Tool("ampy", "ampy", "tools:Ampy", "adafruit-ampy==1.1.0"),
        Tool("rshell", "rshell", "tools:Rshell", "rshell==0.0.36"),
        Tool("mpfshell", "mpfshell", "tools:Mpfshell", "mpfshell==0.9.3"),
        Tool("thonny", "thonny's backend", "thonny_backend:Thonny", "thonny==5.0.1"),
        Tool("mpytool", "mpytool", "tools:Mpytool", "mpytool==2.6.0"),
    )
}


def environment_of(tool: Tool) -> Path:
    """Where the tool's environment is, or will be."""
    _, _, version = tool.requirement.partition("==")
    return cache() / "environments" / f"{tool.name}-{version}-py{sys.version_info.major}.{sys.version_info.minor}"


def python_of(tool: Tool) -> str:
    """Give the Python that runs the tool, after installing it where that was not done. Raises `NotInstalled`."""
    if not tool.requirement:
        return sys.executable
    folder = environment_of(tool)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", tool.requirement])
        done.touch()
    return str(python)


def installed(python: str) -> dict[str, float]:
    """Count the distributions in an environment, without pip and setuptools, and their megabytes."""
    answer = subprocess.run([python, "-c", _COUNT], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{Path(command[0]).name} {command[2]}: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled(lines[-1] if lines else f"{command[2]} ended with {done.returncode}")
