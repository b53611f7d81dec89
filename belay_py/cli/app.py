"""The verbs, put together, and the run of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import belay_py
from belay_py.cli.clock import set_time
from belay_py.cli.code import eval_, exec_
from belay_py.cli.code import run as run_
from belay_py.cli.config import config
from belay_py.cli.copying import cat, get, put, sync
from belay_py.cli.detect import detect
from belay_py.cli.devices import devices
from belay_py.cli.endings import USAGE, complain
from belay_py.cli.files import df, hash_, ls, mkdir, mv, rm, touch
from belay_py.cli.info import info
from belay_py.cli.journal import journal
from belay_py.cli.monitor import monitor
from belay_py.cli.repl import repl
from belay_py.cli.virtual import virtual
from belay_py.cli.wire import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "belay-py"

# typer's base of everything that is wrong with a command line: its own class since it carries a copy of click, click's
# before. BadParameter is what both export.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

# Without rich's markup: it reads brackets in help texts, which our examples are full of, as markup, and draws boxes
# that do not survive a pipe. It would cost 40 ms on --help besides.
_app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {belay_py.__version__}")
        raise typer.Exit


@_app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run code on MicroPython boards, real or virtual.

    Exit status: 0 success, 1 the board's code raised an exception or a file could not be moved, 2 usage, 3 no device,
    4 the device was lost or a timeout passed, 130 Ctrl-C.
    """
    del version
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


_app.command("exec")(exec_)
_app.command("eval")(eval_)
_app.command("run")(run_)
_app.command("repl")(repl)
_app.command("monitor")(monitor)
_app.command("put")(put)
_app.command("get")(get)
_app.command("cat")(cat)
_app.command("ls")(ls)
_app.command("rm")(rm)
_app.command("mkdir")(mkdir)
_app.command("mv")(mv)
_app.command("touch")(touch)
_app.command("df")(df)
_app.command("hash")(hash_)
_app.command("sync")(sync)
_app.command("info")(info)
_app.command("set-time")(set_time)
_app.command("devices")(devices)
_app.command("detect")(detect)
_app.command("config")(config)
_app.command("journal")(journal)
_app.command("virtual")(virtual)
_app.command("wire")(wire)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; return its exit status."""
    command = typer.main.get_command(_app)
    try:
        status = command.main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else PROGRAM
        complain(f"{getattr(error, 'format_message', error.__str__)()} See: {path} --help")
        return USAGE
    return status if isinstance(status, int) else 0
