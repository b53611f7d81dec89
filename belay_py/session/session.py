"""`DeviceSession`: one board, one owner, one operation at a time."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from belay_py.errors import ConnectionFailed, SessionClosed
from belay_py.lifecycle import DeviceSessionState, Lifecycle
from belay_py.options import DeviceSessionOptions
from belay_py.session.connection import open_connection
from belay_py.session.evaluation import Evaluations
from belay_py.session.execution import ExecutionResult, encode_code
from belay_py.session.operations import Operations
from belay_py.session.streaming import OutputQueue, decoded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from belay_py.session.channel import Channel
    from belay_py.session.connection import Connection
    from belay_py.session.info import BoardInfo
    from belay_py.session.streaming import TextMode

_State = DeviceSessionState
_T = TypeVar("_T")


class DeviceSession:
    """One conversation with one board, through a serial port or whatever else `DeviceSessionOptions.port` names.

    Every call carries a deadline; after one has passed the board is interrupted, brought back to a verified prompt and
    only then used again. Calls from several tasks queue in order. Not for use from several threads or event loops:
    `belay_py.sync` is.
    """

    def __init__(self, port: str | DeviceSessionOptions, *, device_id: str | None = None, **options: Any) -> None:
        """Describe a session; nothing is opened before `connect` or ``async with``.

        ``port`` is a port or whole options; further keyword arguments are options of `DeviceSessionOptions`. Raises
        `SettingsError`.
        """
        self.options = DeviceSessionOptions.build(port, options)
        self.session_id = secrets.token_hex(16)
        self.device_id = device_id or self.options.port
        self.created_at = datetime.now(UTC)
        self.generation = 0
        """Counts the connections of this session: 1 during the first."""
        self._lifecycle = Lifecycle(self)
        self._operations = Operations(self.options, self._lifecycle)
        self._evaluations = Evaluations(self._operations)
        self._opening: asyncio.Task[Connection] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._closing = False
        self._info: BoardInfo | None = None

    def __repr__(self) -> str:
        return f"<DeviceSession {self.device_id!r} on {self.options.port} {self.state.name}>"

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> DeviceSessionState:
        """The session's state now."""
        return self._lifecycle.state

    @property
    def boot_epoch(self) -> int:
        """Counts the lives of the board's interpreter that this session has seen: 1 after the first connect.

        It rises with every reset that was noticed. Boards without ``sys.stdout`` cannot tell a reconnection from a
        restart; there each connect counts.
        """
        return self._operations.boot_epoch

    @property
    def last_used(self) -> datetime:
        """When the latest operation began or ended, in UTC."""
        return datetime.fromtimestamp(self._operations.last_used, UTC)

    @property
    def info(self) -> BoardInfo:
        """What the board said about itself at the latest connect. Raises `SessionClosed` before the first one."""
        if self._info is None:
            raise SessionClosed("nothing is known of the board before the first connect; use `with`, or connect() it")
        return self._info

    # -- life ---------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the port, bring the board to a verified raw prompt, without a reset, and ask it what it is.

        Does nothing when the session is connected already. A program that runs on the board is interrupted. Raises
        `DeviceNotFound`, `DeviceBusy`, `ConnectionFailed` (within ``connection_timeout`` seconds) or
        `IllegalTransition` after `close`.
        """
        operations = self._operations
        deadline = operations.deadline(self.options.connection_timeout)
        if self._ending is not None:
            await asyncio.shield(self._ending)
        await operations.turn.wait(deadline)
        try:
            channel = operations.channel
            if channel is not None and channel.in_step and channel.is_of_this_loop:
                return
            self._lifecycle.fire("connect")
            if channel is not None:
                await channel.closed()  # the one before, which went into ERROR, may still hold the port
            await self._open(deadline)
            self._lifecycle.fire("connected")
        finally:
            operations.turn.release()

    async def disconnect(self) -> None:
        """Close the port and keep the session; code that runs is interrupted. Safe in any state."""
        if self._ending is None:
            if not self._lifecycle.allows("disconnect"):
                return
            self._lifecycle.fire("disconnect")
            operations = self._operations
            operations.trouble = "this program disconnected it"
            channel, operations.channel = operations.channel, None
            ending = asyncio.get_running_loop().create_task(self._end_connection(channel))
            self._ending = ending
            ending.add_done_callback(self._ended)
        # A caller that is cancelled here, or a second one, changes nothing: the connection ends once and wholly.
        await asyncio.shield(self._ending)

    async def close(self) -> None:
        """Dispose of the session for good. Safe in any state and any number of times."""
        self._closing = True
        await self.disconnect()
        self._move_if_allowed("dispose")

    async def settled(self) -> None:
        """Wait until a board whose operation was cancelled is stopped and ready. Bounded by ``recovery_timeout``."""
        await self._operations.settled()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- operations ---------------------------------------------------------------------------------------------

    async def execute(self, code: str | bytes, *, timeout: float | None = None) -> ExecutionResult:
        """Run code on the board and return what it wrote.

        ``timeout`` is seconds for everything, waiting for other operations included; None takes
        ``operation_timeout``, and ``math.inf`` means that a person watches. Raises `ExecutionError` (the device's
        exception), `SessionTimeout`, `Interrupted`, `BoardWasReset`, `Disconnected`, `OutcomeUnknown`, `InvalidCode`
        or `SessionClosed`.
        """
        return await self._operations.run(encode_code(code), timeout)

    @overload
    async def evaluate(self, code: str | bytes, *, returns: type[_T], timeout: float | None = None) -> _T: ...

    @overload
    async def evaluate(self, code: str | bytes, *, returns: Any = None, timeout: float | None = None) -> Any: ...

    async def evaluate(self, code: str | bytes, *, returns: Any = None, timeout: float | None = None) -> Any:
        """Run code that ends in an expression and return that expression's value, exactly; names stay on the board.

        Numbers, str, bytes, None and most of what is built of them; docs/values.md lists the types. ``returns`` is what
        pydantic is to make of it: a type, dataclass, TypedDict, NamedTuple, model, generic or union. ``timeout`` is as
        for `execute`. Raises what `execute` raises, `ValueNotSupported` for other values, `UnexpectedValue` for those
        that are not what ``returns`` says, and `SettingsError` where that is no type.
        """
        return await self._evaluations.evaluate(code, returns, timeout)

    @overload
    def stream(
        self, code: str | bytes, *, timeout: float | None = None, mode: TextMode = "text"
    ) -> AsyncGenerator[str]: ...

    @overload
    def stream(
        self, code: str | bytes, *, timeout: float | None = None, mode: Literal["bytes"]
    ) -> AsyncGenerator[bytes]: ...

    def stream(
        self, code: str | bytes, *, timeout: float | None = None, mode: TextMode | Literal["bytes"] = "text"
    ) -> AsyncGenerator[str] | AsyncGenerator[bytes]:
        """Run code and yield its output as it comes: text in pieces, text by lines, or bytes.

        Raises what `execute` raises, after the last piece. A consumer that stops half-way (closes the generator, best
        with ``contextlib.aclosing``, or leaves the loop) stops the board; one that is slow holds it back.
        """
        chunks = self._stream(encode_code(code), timeout)
        return chunks if mode == "bytes" else decoded(chunks, mode)

    async def interrupt(self, *, timeout: float | None = None) -> bool:
        """Stop the code that another task runs; that task gets `Interrupted`. Return whether any was running.

        Ctrl-C is repeated until the code ends. Raises `SessionTimeout` when it does not: it catches the interrupt.
        """
        return await self._operations.interrupt(timeout)

    async def soft_reset(self, *, timeout: float | None = None) -> str:
        """Restart the board's interpreter; files stay, variables go, ``boot.py`` runs. Return what was printed.

        Raises `SessionTimeout`, `OutcomeUnknown` or `SessionClosed`.
        """
        return await self._operations.soft_reset(timeout)

    # -- internals ----------------------------------------------------------------------------------------------

    async def _stream(self, source: bytes, timeout: float | None) -> AsyncGenerator[bytes]:
        operations = self._operations
        deadline = operations.deadline(timeout)
        channel = await operations.begin(deadline)
        queue = OutputQueue(pause=channel.pause_reading, resume=channel.resume_reading)
        run = asyncio.get_running_loop().create_task(operations.run_begun(channel, source, deadline, queue.put))
        run.add_done_callback(queue.end)
        try:
            while (data := await queue.get()) is not None:
                yield data
            await run
        finally:
            if not run.done():
                run.cancel()
                await asyncio.wait([run])
                await operations.settled()

    async def _open(self, deadline: float) -> None:
        """Open the connection in a task of its own, which `disconnect` can cancel without cancelling the caller."""
        self._opening = opening = asyncio.get_running_loop().create_task(
            open_connection(self.options, deadline, self._on_lost)
        )
        try:
            connection = await opening
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                # It came about in the very moment in which nobody wanted it any more.
                self._operations.channel = opening.result().channel
                self._operations.channel.close()
            me = asyncio.current_task()
            if self.state is _State.CONNECTING:
                self._lifecycle.fire("lose")
                self._operations.trouble = "connecting was cancelled"
                raise
            if me is not None and me.cancelling():
                raise
            raise SessionClosed("the session was disconnected while it was connecting") from None
        except Exception as error:
            self._operations.trouble = str(error)
            self._move_if_allowed("fail")
            raise
        finally:
            self._opening = None
        self._accept(connection)

    def _accept(self, connection: Connection) -> None:
        operations = self._operations
        if not connection.channel.in_step:
            operations.trouble = f"{self.options.port} was lost right after the handshake"
            self._move_if_allowed("fail")
            raise ConnectionFailed(f"{operations.trouble}; is the board powered, the cable whole?")
        operations.channel, self._info = connection.channel, connection.board
        operations.trouble = ""
        operations.last_used = time.time()
        # A reconnection to a life of the interpreter that this session knows is no new epoch.
        operations.boot_epoch += not (connection.known and self.generation)
        self.generation += 1

    async def _end_connection(self, channel: Channel | None) -> None:
        try:
            if self._opening is not None:
                self._opening.cancel()
                await asyncio.wait([self._opening])
            if channel is not None:
                channel.close()
                await channel.closed()
        finally:
            self._lifecycle.fire("disconnected")
            if self._closing:
                self._move_if_allowed("dispose")

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending = None

    def _on_lost(self, channel: Channel, error: Exception | None) -> None:
        operations = self._operations
        if channel is operations.channel and self.state in (_State.CONNECTED, _State.ACTIVE, _State.IDLE):
            operations.trouble = str(error) if error else "the link was closed"
            operations.channel = None
            self._lifecycle.fire("lose")

    def _move_if_allowed(self, trigger: str) -> None:
        if self._lifecycle.allows(trigger):
            self._lifecycle.fire(trigger)
