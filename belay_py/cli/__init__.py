"""The command line: ``belay-py``. The only package that prints.

typer and rich come with the extra ``cli``; without them this package says so and nothing else.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its status. See `belay_py.cli.endings` for what each status means."""
    try:
        import rich  # noqa: F401, PLC0415  cheap: rich's own modules load when used
        import typer  # noqa: F401, PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        print('error: the command line is not installed; run: pip install "belay_py[cli]"', file=sys.stderr)
        sys.exit(2)
    from belay_py.cli.app import run  # noqa: PLC0415  only now is it known that typer is there

    sys.exit(run(sys.argv[1:]))
