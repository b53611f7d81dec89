"""The command line: ``belay-py``. The only package that prints.

typer and rich come with the extra ``cli``; without them this package says so and nothing else.
"""

from __future__ import annotations

import io
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its status. See `belay_py.cli.endings` for what each status means."""
    _open_missing_streams()
    _write_everything()
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # while the command line was being loaded; later it has an ending of its own
        sys.exit(130)


def _open_missing_streams() -> None:
    """Let what the caller has closed lead nowhere: else a port would get its number, and errors its place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115  for the process's life


def _write_everything() -> None:
    """Let text that the output's encoding lacks be escaped: a pipe on Windows has a few hundred characters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _run() -> int:
    try:
        import rich  # noqa: F401, PLC0415  cheap: rich's own modules load when used
        import typer  # noqa: F401, PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        print('error: the command line is not installed; run: pip install "belay_py[cli]"', file=sys.stderr)
        return 2
    from belay_py.cli.app import run  # noqa: PLC0415  only now is it known that typer is there

    return run(sys.argv[1:])
