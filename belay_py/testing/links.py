"""A name of one's choice for a pseudo-terminal: a symbolic link that comes and goes with it."""

from __future__ import annotations

import contextlib
import errno
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from belay_py.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def linked(path: str, terminal: str) -> Iterator[None]:
    """Let ``path`` lead to ``terminal`` meanwhile. Raises `SettingsError` for a path that is taken or impossible."""
    link = Path(path)
    _refuse_what_is_in_use(link)
    # Made aside and moved into place, so that a stale link is replaced at once and never found missing.
    aside = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    try:
        aside.symlink_to(terminal)
        try:
            aside.replace(link)
        except OSError:
            aside.unlink()
            raise
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot make the link {path} ({_reason(error)}); choose another path") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if str(link.readlink()) == terminal:  # else somebody has put another thing there
                link.unlink()


def _refuse_what_is_in_use(link: Path) -> None:
    try:
        target = link.readlink()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EINVAL:
            raise SettingsError(f"{link} exists and is no symbolic link; choose another path, or remove it") from error
        raise SettingsError(f"cannot make the link {link} ({_reason(error)}); choose another path") from error
    if _is_stale(link):
        return
    raise SettingsError(f"{link} leads to {target}, which exists; choose another path, or remove the link")


def _is_stale(link: Path) -> bool:
    """Whether what the link was made for is gone.

    Numbers of pseudo-terminals are used again, so it is not enough that there is one: the terminal that a link was made
    for is older than the link. Its change time is that of its making (reading and writing touch the other two only).
    """
    try:
        target = link.stat()
    except OSError:
        return True
    is_terminal = str(link.readlink()).startswith("/dev/")
    return is_terminal and target.st_ctime_ns > link.lstat().st_ctime_ns


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
