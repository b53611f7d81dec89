"""How a command ends: one line on stderr and an exit status, never a Python traceback for what is no bug of ours.

0   it went well
1   the device's code raised an exception, whose traceback is on stderr; or a file could not be moved or changed
2   the command line asks for what cannot be
3   there is no device, or it cannot be reached
4   the device was lost, or a deadline passed
130 stopped by Ctrl-C (128 and the signal's number, as shells count; 143 for SIGTERM)
141 whoever read the output stopped reading (128 and SIGPIPE, which is how ``yes | head`` ends)
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from typing import TYPE_CHECKING, ParamSpec

import typer

from belay_py import errors
from belay_py.cli.signals import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")

DEVICE_EXCEPTION = 1
USAGE = 2
NO_DEVICE = 3
LOST = 4
READER_GONE = 141

_STATUS: tuple[tuple[type[errors.BelayError], int], ...] = (
    (errors.ExecutionError, DEVICE_EXCEPTION),
    (errors.TransferError, DEVICE_EXCEPTION),
    (errors.SettingsError, USAGE),
    (errors.JournalError, USAGE),
    (errors.InvalidCode, USAGE),
    (errors.ValueNotSupported, USAGE),
    (errors.NotSupported, USAGE),
    (errors.DeviceNotFound, NO_DEVICE),
    (errors.DeviceBusy, NO_DEVICE),
    (errors.ConnectionFailed, NO_DEVICE),  # VirtualBoardUnavailable is one
)


def status_of(error: errors.BelayError) -> int:
    """The exit status that stands for an error; whatever is not named above lost the device."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), LOST)


def complain(message: object) -> None:
    """Say on stderr, in one line, what is wrong."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)


def with_exit_status(verb: Callable[_P, None]) -> Callable[_P, None]:
    """Make a verb end as this module's first lines say.

    It is put around each verb, and not around typer's whole run, because typer has its own ideas of Ctrl-C and broken
    pipes, which differ between its versions.
    """

    @functools.wraps(verb)
    def ending(*args: _P.args, **kwargs: _P.kwargs) -> None:
        raise typer.Exit(_run(functools.partial(verb, *args, **kwargs)))

    return ending


def _run(verb: Callable[[], None]) -> int:
    try:
        verb()
        sys.stdout.flush()
    except errors.ExecutionError as error:
        if isinstance(error, errors.CodeTooLarge):
            complain(error)  # its traceback names no place
        else:
            print(error.host_traceback, file=sys.stderr)
        return DEVICE_EXCEPTION
    except errors.BelayError as error:
        # A settings file may have several things wrong with it, each in a line of its own.
        for said in str(error).splitlines() if isinstance(error, errors.SettingsError) else [error]:
            complain(f"{said.filename}: {said.strerror}" if isinstance(said, errors.RemoteFileError) else said)
        return status_of(error)
    except KeyboardInterrupt as stop:
        number = stop.signal_number if isinstance(stop, Stopped) else signal.SIGINT
        consequence = stop.consequence if isinstance(stop, Stopped) else ""
        with contextlib.suppress(OSError):  # the terminal's window was closed, which is what SIGHUP tells
            print(f"stopped by {signal.Signals(number).name}{consequence and ': '}{consequence}", file=sys.stderr)
        return 128 + number
    except BrokenPipeError:
        _drop_output()
        return READER_GONE
    except OSError as error:
        # Of the system's errors only those of our own stdout come here: those of ports are BelayErrors.
        complain(f"cannot write the output ({error.strerror or error})")
        _drop_output()
        return LOST
    return 0


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere: it would complain a second time and change the exit status."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
