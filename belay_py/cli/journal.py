"""``journal``: which boards, sessions and leases a manager's journal knows of."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Json  # noqa: TC001  typer reads it
from belay_py.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from belay_py.journal import JournalContents

_File = Annotated[str, typer.Argument(metavar="FILE", help="The file that the manager's option `journal` names.")]
_All = Annotated[bool, typer.Option("--all", help="Show what has ended too, as --json does.")]


@with_exit_status
def journal(file: _File, *, everything: _All = False, as_json: Json = False) -> None:
    """Show what a manager's journal knows: boards, open sessions, leases that are held, and who has or had them.

    It changes nothing, and may be read while managers write it. A process that died is shown as such with all that it
    had, until the next manager of this journal finds it.

    \b
    Examples:
      belay-py journal bench.journal
      belay-py journal bench.journal --all
      belay-py journal bench.journal --json
    """
    from belay_py.journal import read_journal  # noqa: PLC0415  SQLite, which no other verb needs

    contents = read_journal(file)
    if as_json:
        print_json(_for_programs(contents))
        return
    tables = [*_for_people(contents, everything=everything)]
    for number, (rows, header) in enumerate(tables):
        if number:
            print()
        print_table(rows, header)
    if not tables:
        print("nothing is open" if contents.processes else "nothing has happened yet")


def _for_people(contents: JournalContents, *, everything: bool) -> Iterable[tuple[list[tuple[str, ...]], list[str]]]:
    names = {process.number: f"{process.pid}" for process in contents.processes}
    processes = [
        (str(process.pid), contents.state_of(process), _when(process.began), _when(process.ended), process.program)
        for process in contents.processes
        if everything or process.how is None
    ]
    boards = [
        (board.device_id, board.port, board.unique_id or "", str(board.boot_epoch), _when(board.seen))
        for board in contents.boards
    ]
    sessions = [
        (
            *(session.device_id, session.port, names.get(session.process, ""), str(session.generation)),
            *(str(session.boot_epoch), _when(session.opened), "open" if session.connected else session.how or ""),
        )
        for session in contents.sessions
        if everything or session.connected
    ]
    leases = [
        (
            *(lease.device_id, names.get(lease.process, ""), lease.holder, _when(lease.since)),
            "held" if lease.ended is None else f"{lease.how} {_when(lease.ended)}",
        )
        for lease in contents.leases
        if everything or lease.ended is None
    ]
    tables: list[tuple[list[Any], list[str]]] = [
        (processes, ["PROCESS", "STATE", "BEGAN", "ENDED", "PROGRAM"]),
        (boards, ["BOARD", "PORT", "UNIQUE ID", "LIVES", "SEEN"]),
        (sessions, ["SESSION OF", "PORT", "PROCESS", "GENERATION", "EPOCH", "OPENED", "STATE"]),
        (leases, ["LEASE OF", "PROCESS", "HOLDER", "SINCE", "STATE"]),
    ]
    return [table for table in tables if table[0]]


def _for_programs(contents: JournalContents) -> dict[str, Any]:
    told = _plain(dataclasses.asdict(contents))
    for entry, process in zip(told["processes"], contents.processes, strict=True):
        entry["state"] = contents.state_of(process)
    return dict(told)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
