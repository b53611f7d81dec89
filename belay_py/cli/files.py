"""The verbs for the board's folders: ``ls``, ``rm``, ``mkdir``, ``mv``, ``touch``, ``df`` and ``hash``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from belay_py.cli import boards
from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import (  # noqa: TC001  typer reads them
    Baudrate,
    ConnectTimeout,
    Json,
    Port,
    PortByName,
    Timeout,
    Trace,
)
from belay_py.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from belay_py.session.files import Entry

Paths = Annotated[list[str], typer.Argument(metavar="PATH", help="Paths on the board.", show_default=False)]


def remote(path: str) -> str:
    """A path of the board; the colon that mpremote puts before it may be there."""
    return path.removeprefix(":")


@with_exit_status
def ls(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A folder of the board; else its current one.")] = "",
    *,
    long: Annotated[bool, typer.Option("--long", "-l", help="Show sizes.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="Show what is in folders, too.")] = False,
    as_json: Json = False,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """List a folder of the board. A name that ends in / is a folder's.

    \b
    Examples:
      belay-py ls
      belay-py ls -l /lib
      belay-py ls --recursive --json /
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        files, folder = board.files, remote(path)
        found = list(files.walk(folder, timeout=timeout)) if recursive else files.list(folder, timeout=timeout)
    if as_json:
        print_json([dataclasses.asdict(entry) for entry in found])
    elif long:
        width = max((len(str(entry.size)) for entry in found), default=0)
        for entry in found:
            print(f"{'' if entry.is_dir else entry.size:>{width}}  {_shown(entry, recursive)}")
    else:
        for entry in found:
            print(_shown(entry, recursive))


def _shown(entry: Entry, whole: bool) -> str:
    name = f"{entry.path if whole else entry.name}{'/' if entry.is_dir else ''}"
    return name if name.isprintable() else repr(name)


@with_exit_status
def rm(
    paths: Paths,
    *,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Folders too, with all in them.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="What is not there is no error.")] = False,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Remove files of the board, or folders.

    \b
    Examples:
      belay-py rm main.py
      belay-py rm -r /lib/old
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        for path in paths:
            board.files.remove(remote(path), recursive=recursive, missing_ok=force, timeout=timeout)


@with_exit_status
def mkdir(
    paths: Paths,
    *,
    parents: Annotated[
        bool, typer.Option("--parents", "-p", help="Make the folders above too; one that is there is no error.")
    ] = False,
    port: PortByName = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Make folders on the board.

    \b
    Examples:
      belay-py mkdir /lib
      belay-py mkdir --parents /data/logs/2026
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        for path in paths:
            board.files.mkdir(remote(path), parents=parents, exist_ok=parents, timeout=timeout)


@with_exit_status
def mv(
    path: Annotated[str, typer.Argument(metavar="FROM", help="A file or a folder of the board.")],
    to: Annotated[str, typer.Argument(metavar="TO", help="Its new path; in a folder that is there, its old name.")],
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Rename or move a file or a folder of the board; a file that is there is replaced.

    \b
    Examples:
      belay-py mv main.py old.py
      belay-py mv main.py /lib/
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        source, target = remote(path), remote(to)
        if target.endswith("/") or board.files.is_dir(target, timeout=timeout):
            target = f"{target.rstrip('/')}/{source.rstrip('/').rpartition('/')[2]}"
        board.files.rename(source, target, timeout=timeout)


@with_exit_status
def touch(
    paths: Paths,
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Make empty files on the board, where there are none.

    \b
    Examples:
      belay-py touch /data/log.txt
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        for path in paths:
            board.files.touch(remote(path), timeout=timeout)


@with_exit_status
def df(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A path on the file system that is meant.")] = "/",
    *,
    as_json: Json = False,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Show how much room the board's file system has, in bytes.

    \b
    Examples:
      belay-py df
      belay-py df /sd --json
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        space = dataclasses.asdict(board.files.free_space(remote(path), timeout=timeout))
    if as_json:
        print_json(space)
    else:
        print_table((name, f"{size} bytes") for name, size in space.items())


@with_exit_status
def hash_(
    paths: Paths,
    *,
    algorithm: Annotated[
        str, typer.Option("--algorithm", "-a", metavar="NAME", help="sha256; some boards have sha1 and md5.")
    ] = "sha256",
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Show the hashes of files, as the board computes them and sha256sum writes them.

    \b
    Examples:
      belay-py hash main.py boot.py
      belay-py hash /data/big.bin --timeout 5m
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        for path in paths:
            print(f"{board.files.hash(remote(path), algorithm, timeout=timeout)}  {remote(path)}")
