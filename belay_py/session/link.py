"""A session's link to its board: made, lost, ended, and made again, each wholly and once."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import TYPE_CHECKING, Final

from belay_py import events
from belay_py.errors import ConnectionFailed, DeviceNotFound, IdentityChanged, SessionClosed
from belay_py.lifecycle import DeviceSessionState
from belay_py.session.instrumented import told
from belay_py.session.reaching import reach
from belay_py.session.standing import no_time_left

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from belay_py.devices.whereabouts import Place
    from belay_py.session.channel import Channel
    from belay_py.session.connection import Connection
    from belay_py.session.reaching import Reached
    from belay_py.session.restarting import RestartAtConnect
    from belay_py.session.standing import Standing

_log = logging.getLogger(__name__)
_State = DeviceSessionState

_WHY: Final[dict[events.DisconnectReason, str]] = {
    "idle": "it was not used for idle_timeout seconds",
    "expired": "it was open for max_lifetime seconds",
    "evicted": "another session needed the room, max_sessions",
    "shutdown": "its manager is closing",
    "identity changed": "another board is at its port",
}


class Link:
    """Connects a session's operations to a channel and takes them off it."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._lifecycle = standing.lifecycle
        self._listeners = standing.listeners
        self._opening: asyncio.Task[Reached] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._closing = False
        self.endings = 0
        """Counts the calls of `disconnect` and `close`."""

    async def connect(
        self,
        deadline: float,
        restart: RestartAtConnect | None = None,
        *,
        patient: bool = False,
        asked: bool = False,
        runs: bool = False,
    ) -> bool:
        """Take the turn and connect, unless that is done already; return whether it was to be done.

        ``asked`` says that a user wants it: who was told of another board before accepts it so. See
        `DeviceSession.connect` for the errors. ``patient`` is for `connect_in_turn`. ``runs`` says that an
        operation runs, so that the session is connected, and nobody waits for the turn.
        """
        standing, turn = self._standing, self._standing.turn
        accepts = asked and standing.whereabouts.told
        if self._lifecycle.state is _State.DISPOSED:
            self._lifecycle.fire("connect")  # which says that the caller is wrong
        if (
            standing.channel is not None
            and not standing.channel.is_of_this_loop
            and not self._lifecycle.allows("connect")
        ):
            raise standing.unusable()
        if runs:
            return False  # who consumes a stream would wait for itself
        await turn.wait(deadline)
        try:
            if standing.usable:
                return False
            if accepts:
                standing.whereabouts.forget()
            await self.connect_in_turn(deadline, restart, patient=patient)
        finally:
            turn.release()
        return True

    @told
    async def connect_in_turn(
        self, deadline: float, restart: RestartAtConnect | None = None, *, patient: bool = False
    ) -> None:
        """Connect; the caller has the turn, and there is no usable channel.

        ``restart`` is for `open_connection`, by default as the options say. With ``patient`` a port that is not there
        yet is tried again until the deadline: a board with native USB is away while it restarts.

        The board is looked for wherever it is now; another one raises `IdentityChanged`, until somebody accepts it.
        """
        if self._ending is not None:
            await asyncio.shield(self._ending)
        standing = self._standing
        if self._lifecycle.state is _State.DISPOSED:
            raise standing.unusable()  # it was closed while this waited, which is nobody's fault
        channel, endings = standing.channel, self.endings
        self._lifecycle.fire("connect")
        if standing.keeper is not None:
            standing.keeper.before_connect()
        restart = restart or standing.options.reset
        try:
            place, connection = await self._open(
                reach(standing, deadline, self.on_lost, after=channel, restart=restart, patient=patient)
            )
        except IdentityChanged:
            standing.whereabouts.told = True
            raise
        stranger = self._stranger(place, connection)
        self._accept(place, connection, restarted=restart != "never", is_known=stranger is None)
        try:
            if stranger is not None:
                raise stranger
            if standing.keeper is not None:
                await standing.keeper.set_up(deadline)
            elif standing.prepare is not None:
                await standing.prepare(deadline)
            if self.endings != endings:
                raise SessionClosed("the session was disconnected while its board was set up")
        except BaseException as error:  # it goes on; nobody is to use a board that is not set up
            await self._end_of(error)
            raise

    def _stranger(self, place: Place, connection: Connection) -> IdentityChanged | None:
        standing = self._standing
        try:
            standing.whereabouts.recognise(place, connection.board.unique_id, standing.counters.about)
        except IdentityChanged as error:
            return error
        return None

    async def _end_of(self, error: BaseException) -> None:
        reason: events.DisconnectReason = "requested"
        if isinstance(error, IdentityChanged):
            reason, self._standing.whereabouts.told = "identity changed", True
        await self._disconnect(reason)
        self._standing.trouble = str(error) or "setting the board up was cancelled"

    async def reconnect(self, deadline: float) -> bool:
        """Take the turn, end the connection, if there is one, and make a new one; return whether the board restarted.

        Operations that were waiting go on afterwards. Another board is never accepted here: programs call this in a
        loop until it succeeds, and nobody would have looked at the first error.
        """
        standing, endings = self._standing, self.endings
        await standing.turn.wait(deadline)
        try:
            epoch = standing.boot_epoch
            if deadline <= asyncio.get_running_loop().time():
                raise no_time_left()
            await self._disconnect()
            if self.endings != endings:
                raise SessionClosed("the session was disconnected while it was reconnecting")
            await self.connect_in_turn(deadline)
            return standing.boot_epoch != epoch
        finally:
            standing.turn.release()

    async def disconnect(self, reason: events.DisconnectReason = "requested", *, stop: bool = True) -> None:
        """End the connection, whatever it does at the moment. Returns when it has ended.

        Code that runs is interrupted, unless ``stop`` is False: then it goes on.
        """
        self.endings += 1
        await self._disconnect(reason, stop=stop)

    async def break_off(self, error: Exception) -> None:
        """End the connection to a board that does not answer as it should: ``error``. To all it is a lost link."""
        self._standing.counters.link_errors += 1
        await self._disconnect("unexpected", error)

    async def _disconnect(
        self, reason: events.DisconnectReason = "requested", error: Exception | None = None, *, stop: bool = True
    ) -> None:
        allowed = self._lifecycle.allows("disconnect")
        # One that is done is forgotten a turn of the loop later, in which the next connect may have begun already.
        if self._ending is None or (allowed and self._ending.done()):
            if not allowed:
                return
            self._lifecycle.fire("disconnect")
            standing = self._standing
            standing.trouble = str(error) if error else _WHY.get(reason, "this program disconnected it")
            channel, standing.channel = standing.channel, None
            if channel is not None and channel.is_orphan:
                standing.turn.forget()
            if channel is not None:
                channel.close(stop=stop)  # here, since a task may be cancelled before it begins
            settle = functools.partial(self._settle, reason, error, was_open=channel is not None)
            ending = asyncio.get_running_loop().create_task(self._end(channel, self._opening, settle))
            self._ending = ending
            ending.add_done_callback(functools.partial(self._ended, settle))
        # A caller that is cancelled here, or a second one, changes nothing: the connection ends once and wholly.
        await asyncio.shield(self._ending)

    async def close(self, reason: events.DisconnectReason = "requested", *, stop: bool = True) -> None:
        """End the connection, as `disconnect`, and dispose of the session."""
        self._closing = True
        await self.disconnect(reason, stop=stop)
        self._dispose()

    def on_lost(self, channel: Channel, error: Exception | None) -> None:
        """The transport has ended."""
        standing = self._standing
        if channel is standing.channel and self._lifecycle.state in (_State.CONNECTED, _State.ACTIVE, _State.IDLE):
            standing.trouble = str(error) if error else "the link was closed"
            standing.channel = None
            self._lifecycle.fire("lose")
            standing.counters.link_errors += not channel.chip_was_reset
            reason: events.DisconnectReason = "requested" if channel.chip_was_reset else "unexpected"
            about = standing.counters.about
            _log.info("%s: the link has ended: %s", about.device_id, standing.trouble, extra=about)
            self._listeners.emit(events.SessionDisconnected, reason=reason, error=error)

    # -- internals ----------------------------------------------------------------------------------------------

    async def _open(self, work: Coroutine[None, None, Reached]) -> Reached:
        """Open the connection in a task of its own, which `disconnect` can cancel without cancelling the caller."""
        self._opening = opening = asyncio.get_running_loop().create_task(work)
        try:
            reached = await opening
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                # It came about in the very moment in which nobody wanted it any more.
                self._standing.channel = opening.result().connection.channel
                self._standing.channel.close()
            me = asyncio.current_task()
            if self._lifecycle.state is _State.CONNECTING:
                self._standing.trouble = "connecting was cancelled"
                self._lifecycle.fire("lose")
                raise
            if me is not None and me.cancelling():
                raise
            raise SessionClosed("the session was disconnected while it was connecting") from None
        except Exception as error:
            if isinstance(error, DeviceNotFound):
                error.port = self._standing.options.port
            self._standing.fail(str(error))
            raise
        finally:
            self._opening = None
        if self._lifecycle.state is not _State.CONNECTING:
            # A disconnect came between the opening's end and this. Until the port is closed the turn is not another's:
            # in a manager a slot goes with it.
            channel = reached.connection.channel
            channel.close()
            await channel.closed()
            raise SessionClosed("the session was disconnected while it was connecting")
        return reached

    def _accept(self, place: Place, connection: Connection, *, restarted: bool, is_known: bool) -> None:
        """Take a connection into use; ``restarted`` says that its board was restarted for it.

        Of a board that is another one than before (not ``is_known``) nothing is noted: the right one may come back, in
        the life in which it was.
        """
        standing = self._standing
        if not connection.channel.in_step:
            trouble = f"{place.port} was lost right after the handshake"
            standing.fail(trouble)
            raise ConnectionFailed(f"{trouble}; is the board powered, the cable whole?")
        standing.channel = connection.channel
        standing.trouble = ""
        standing.counters.connected(connection.round_trip)
        standing.last_used, standing.last_begun = time.time(), asyncio.get_running_loop().time()
        standing.generation += 1
        standing.counters.about.generation = standing.generation
        self._lifecycle.fire("connected")
        if is_known:
            standing.met(connection.board, connection.channel.life, restarted=restarted)
        self._listeners.emit(events.SessionConnected, generation=standing.generation, boot_epoch=standing.boot_epoch)

    async def _end(
        self,
        channel: Channel | None,
        opening: asyncio.Task[Reached] | None,
        settle: Callable[[], None],
    ) -> None:
        try:
            ended = channel
            if opening is not None:
                opening.cancel()
                await asyncio.wait([opening])
                if not opening.cancelled() and opening.exception() is None:
                    # It came about in the moment in which it was to be cancelled.
                    ended = opening.result().connection.channel
                    ended.close()
            if ended is not None:
                await ended.closed()
        finally:
            settle()

    def _ended(self, settle: Callable[[], None], ending: asyncio.Task[None]) -> None:
        if self._ending is not ending:
            return  # the next connection is being ended
        self._ending = None
        if ending.cancelled() and self._lifecycle.state is _State.DISCONNECTING:
            settle()  # a loop that is shut down has cancelled it before it began

    def _settle(self, reason: events.DisconnectReason, error: Exception | None, *, was_open: bool) -> None:
        self._lifecycle.fire("disconnected")
        if was_open:
            self._listeners.emit(events.SessionDisconnected, reason=reason, error=error)
        if self._closing:
            self._dispose()

    def _dispose(self) -> None:
        if self._lifecycle.allows("dispose"):
            self._lifecycle.fire("dispose")
            if self._standing.inbox is not None:
                self._standing.inbox.end()
            counters, about = self._standing.counters, self._standing.counters.about
            _log.info("%s on %s was closed; %s", about.device_id, self._standing.options.port, counters, extra=about)
            self._listeners.emit(events.SessionDisposed)
