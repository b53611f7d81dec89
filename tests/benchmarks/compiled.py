"""The C programs of the benchmarks, compiled with ``cc`` when first needed and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path


def cache() -> Path:
    """The folder in the user's cache for what the benchmarks make once."""
    folder = Path(os.environ.get("BELAY_CACHE_DIR") or Path.home() / ".cache" / "belay_py") / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compiled(name: str) -> Path:
    """Compile ``name``.c of this folder, once for each version of its source."""
    source = Path(__file__).with_name(f"{name}.c")
    program = cache() / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not program.exists():
        part = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-o", part, source], check=True)
        part.rename(program)
    return program
