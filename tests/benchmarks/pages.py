"""Parts of docs/performance.md that commands write: each stands between two comments that name it."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

from .compiled import cache

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
FIGURES = PAGE.parent / "figures"


def replace_part(page: Path, name: str, text: str) -> None:
    """Put text where the page has ``<!-- name: begin -->`` and ``<!-- name: end -->``, or at its end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = page.read_text(encoding="utf-8") if page.exists() else ""
    part = f"{begin}\n\n{text.strip()}\n\n{end}"
    if begin in whole:
        whole = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: part, whole, flags=re.DOTALL)
    else:
        whole = f"{whole.rstrip()}\n\n{part}\n".lstrip()
    page.write_text(whole, encoding="utf-8")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Lay out a table, numbers at the right of their columns."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def machine() -> str:
    """Say what kind of machine this is, without its name."""
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}{load}"
    )


def keep(name: str, values: dict[str, Any]) -> None:
    """Keep what a command has measured in the user's cache, for other parts of the page."""
    path = cache() / f"{name}.json"
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(values), encoding="utf-8")
    part.replace(path)


def kept(name: str) -> dict[str, Any]:
    """Give what `keep` kept; nothing where it has not yet."""
    path = cache() / f"{name}.json"
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return values
