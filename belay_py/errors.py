"""Every exception that belay_py raises.

One root, :class:`BelayError`; each class stands for one thing that the caller can do about it, and each message says
what that is. Foreign exceptions (``serial.SerialException``, ``OSError``, ``wasmtime`` errors) are turned into these
where the foreign library is called, and kept as ``__cause__``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from belay_py.text import to_text

if TYPE_CHECKING:
    from belay_py.session.execution import ExecutionResult

Outcome = Literal["not_started", "unknown"]
"""Whether code that was asked for may have run: certainly not, or nobody can tell."""


class BelayError(Exception):
    """The root of every belay_py exception.

    Of `execute_many`, ``results`` holds what came of the snippets before the one that the error speaks of, in order.
    """

    results: tuple[ExecutionResult | ExecutionError, ...] = ()


class DeviceNotFound(BelayError):
    """No such port, or no board that fits. Plug it in, or name another port.

    ``port`` is that of the session whose board is not there; None where it was not a session that looked for it, or no
    device of a manager has the name or the tags that were asked for.
    """

    outcome: Outcome = "not_started"
    port: str | None = None


class DeviceBusy(BelayError):
    """Somebody else owns the board. Wait, or end the holder; ``holder`` says who it is where that is known."""

    outcome: Outcome = "not_started"

    def __init__(self, message: str, *, holder: str | None = None) -> None:
        super().__init__(message)
        self.holder = holder


class ConnectionFailed(BelayError):
    """The port could not be opened, or nothing behind it answered as MicroPython does."""

    outcome: Outcome = "not_started"


class VirtualBoardUnavailable(ConnectionFailed):
    """The virtual board cannot run here: a missing extra or artifact. The message says what to run."""


class IllegalTransition(BelayError):
    """The session's state does not allow what was asked. A bug in the caller."""


class SessionClosed(BelayError):
    """The session is disposed, or not connected. Connect it, or make a new one."""


class SessionTimeout(BelayError, TimeoutError):
    """A deadline passed. ``recovered`` tells whether the board was stopped and is at a verified prompt again.

    ``outcome`` is ``"not_started"`` when the code certainly did not run.
    """

    def __init__(self, message: str, *, recovered: bool = True, outcome: Outcome = "unknown") -> None:
        super().__init__(message)
        self.recovered = recovered
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class DeviceFrame:
    """One place in a device's traceback: ``<stdin>`` and a line of the code that was sent, or a file on the board.

    ``host_file`` and ``host_line`` say where that line stands on the host, where that is known.
    """

    file: str
    line: int
    function: str
    host_file: str | None = None
    host_line: int | None = None


class ExecutionError(BelayError):
    """Code raised an exception on the device.

    ``type`` and ``message`` are the device's, ``traceback`` its whole text and ``frames`` its places;
    ``output_bytes`` is what the code had written before, ``output`` the same as text; both are empty after a `stream`,
    which has yielded it. ``host_traceback`` is the traceback with the host's file and lines, where the code came from a
    file or stands in the caller's source, and ``__cause__`` an exception of the host's class of the same name, where it
    has one.
    """

    def __init__(
        self,
        type: str,  # noqa: A002  the device's word for it, and the attribute's name
        message: str,
        traceback: str,
        output_bytes: bytes = b"",
    ) -> None:
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type
        self.message = message
        self.traceback = traceback
        self.host_traceback = traceback
        self.frames: tuple[DeviceFrame, ...] = ()
        self.output_bytes = output_bytes

    @property
    def output(self) -> str:
        """What the code had written before, as text."""
        return to_text(self.output_bytes)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.type, self.message, self.traceback, self.output_bytes), self.__dict__


class CodeTooLarge(ExecutionError):
    """The board has no memory for the code. Send it in pieces, or put it there as a file or ``.mpy`` and import it.

    ``size`` is the code's, ``heap`` that of the board's whole heap, in bytes; ``heap`` is None where it did not say.
    ``outcome`` is ``"not_started"`` when certainly none of it ran; ``"unknown"`` when the board had the whole code and
    then no memory left to say where it stopped: most likely it was still compiling.
    """

    def __init__(self, message: str, traceback: str, *, size: int, heap: int | None, outcome: Outcome) -> None:
        super().__init__("MemoryError", message, traceback)
        self.args = (message,)
        self.size = size
        self.heap = heap
        self.outcome = outcome

    def __reduce__(self) -> tuple[object, ...]:
        make = functools.partial(type(self), size=self.size, heap=self.heap, outcome=self.outcome)
        return make, (self.message, self.traceback), self.__dict__


class Interrupted(BelayError):
    """The code was stopped by an interrupt that this program sent."""


class Disconnected(BelayError):
    """The link to the board is gone, and the code did not start. Reconnect and try again."""

    outcome: Outcome = "not_started"


class OutcomeUnknown(BelayError):
    """The link or the board was lost while code may have been running. Only the caller can decide what to do."""

    outcome: Outcome = "unknown"


class BoardWasReset(BelayError):
    """The board's interpreter restarted: its variables are gone. ``output_bytes`` came before.

    ``outcome`` is ``"not_started"`` when the restart was noticed before any of the code ran.
    """

    def __init__(self, message: str, *, output_bytes: bytes = b"", outcome: Outcome = "unknown") -> None:
        super().__init__(message)
        self.output_bytes = output_bytes
        self.outcome = outcome


class TooManyWaiters(BelayError):
    """As many wait for boards as may (``max_waiting``). Try later, or use more boards."""

    outcome: Outcome = "not_started"


class CircuitOpen(BelayError):
    """The board is left alone for a while, after failures in a row. ``retry_after`` is how many seconds are left."""

    outcome: Outcome = "not_started"

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(BelayError):
    """No operation may begin yet: the rate limit is used up. ``retry_after`` is how many seconds that will take."""

    outcome: Outcome = "not_started"

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class IdentityChanged(BelayError):
    """Another board than before is at the port. ``expected`` and ``found`` are their unique ids."""

    outcome: Outcome = "not_started"

    def __init__(self, message: str, *, expected: str, found: str) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found

    def __reduce__(self) -> tuple[object, ...]:
        make = functools.partial(type(self), expected=self.expected, found=self.found)
        return make, self.args, self.__dict__


class ProtocolViolation(BelayError):
    """The board's answer is not the raw REPL's. ``received`` holds the bytes that did not fit.

    ``outcome`` is ``"not_started"`` when the code certainly did not run.
    """

    def __init__(self, message: str, *, received: bytes = b"", outcome: Outcome = "unknown") -> None:
        super().__init__(message)
        self.received = received
        self.outcome = outcome


class ValueNotSupported(BelayError):
    """A value on the board has no form that can be sent to the host. The message names its type."""


class NotSupported(BelayError):
    """The board, its firmware or its port lacks what was asked for. The message names it."""


class UnexpectedValue(BelayError, ValueError):
    """A value came from the board and is not what ``returns`` asked for. ``value`` is what came."""

    def __init__(self, message: str, *, value: object = None) -> None:
        super().__init__(message)
        self.value = value


class InvalidCode(BelayError, ValueError):
    """Code that cannot be sent to a board as it is. The message names the place and the fix."""


class InvalidArguments(BelayError, TypeError):
    """Arguments that do not fit a remote function's signature, or that have no form that can be sent. None were."""


class TransferError(BelayError):
    """A file did not get from one side to the other as it is. What was there before is as it was."""


class RemoteFileError(TransferError, OSError):
    """The board's file system refused: ``errno`` is this computer's number for why, ``filename`` the board's path.

    What Python has classes of its own for is also of those: ``except FileNotFoundError`` catches
    `RemoteFileNotFound`. A full file system is ``errno.ENOSPC``, one that cannot be written ``errno.EROFS``.
    """


class RemoteFileNotFound(RemoteFileError, FileNotFoundError):
    """The board has no such file or folder, or no folder to put it in. ``mkdir`` makes one."""


class RemoteFileExists(RemoteFileError, FileExistsError):
    """Something of that name is there already."""


class RemoteIsADirectory(RemoteFileError, IsADirectoryError):
    """The path is a folder's, where a file was meant."""


class RemoteNotADirectory(RemoteFileError, NotADirectoryError):
    """The path is a file's, where a folder was meant, or goes through one."""


class RemotePermissionError(RemoteFileError, PermissionError):
    """The board does not allow it."""


class JournalError(BelayError):
    """The journal's file cannot be made, read or written, or is none. The message says what to do about it."""


class SettingsError(BelayError, ValueError):
    """An option has no such name or no such value. The message names it and what is right."""
