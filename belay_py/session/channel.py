"""A raw-REPL conversation: entering it, running code, resets, interrupts, coming back into step, the end.

Everything here speaks of exchanges and clock readings; what they mean to a caller is the session's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from belay_py.errors import ProtocolViolation
from belay_py.protocol import (
    BoardReset,
    Finished,
    RawRepl,
    Ready,
    ReplState,
    ask_life,
)
from belay_py.session import nonces
from belay_py.session.exchanges import Exchanges
from belay_py.session.outcomes import Dropped, Expired
from belay_py.session.statistics import Counters
from belay_py.text import to_text
from belay_py.transports.base import close_orphan
from belay_py.transports.network import crosses_a_network, throw_away
from belay_py.transports.profiled import reset_by_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.devices.profiles import Profile
    from belay_py.session.integrity import Integrity


_ENDS: Final = (Finished, BoardReset)  # a union that is written where it is used is made anew each time
_READY = ReplState.READY  # up to Python 3.11, a member of an Enum costs as much as a call, each time

# A Ctrl-C that comes right after the acknowledgement is sometimes swallowed (5 of 60 tried on a Cortex-M3), so it is
# repeated; the intervals are those of 1,080 recovered runs.
FIRST_INTERRUPT_INTERVAL = 0.02
LONGEST_INTERRUPT_INTERVAL = 0.5
# A board at 115200 baud answers a handshake in 20 ms; one that boots or computes takes seconds.
FIRST_HANDSHAKE_INTERVAL = 0.2
LONGEST_HANDSHAKE_INTERVAL = 2.0

NO_MEMORY = "has no memory left to run anything, its heap is full of what a program keeps; reset the board"
"""What is wrong when a handshake is answered with MemoryError."""


class Channel(Exchanges):
    """One connection's conversation. ``on_lost(channel, error)`` is called once, when the transport has ended."""

    def __init__(
        self,
        *,
        chunk: int,
        pace: float,
        on_lost: Callable[[Channel, Exception | None], None],
        counters: Counters | None = None,
    ) -> None:
        super().__init__(RawRepl(chunk=chunk), pace, counters or Counters())
        self.marked = False
        """Whether responses are marked: wanted, and the board was prepared in this life of its interpreter."""
        self.life: str | None = None
        """The name of that life; None for a board that keeps none, and that cannot mark responses either."""
        self.marks = False
        """Whether responses are to be marked where that is possible."""
        self.interrupted = False
        """Whether the latest code was sent a Ctrl-C by `interrupt`."""
        self.heap: int | None = None
        """The size of the board's heap in bytes, if it said so."""
        self.code_room = 0
        """Bytes of code that a board without raw-paste is known to hold, in this life of its interpreter."""
        self.chip_was_reset = False
        """Whether this side had the chip reset: the link may end, and the response that is owed will not come."""
        self.integrity: Integrity | None = None
        """What checks code and results, where the session asks for that."""
        self._thrown_away: Exception | None = None
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        exc = exc or self._thrown_away
        super().connection_lost(exc)
        self._on_lost(self, exc)

    # -- the session's side -------------------------------------------------------------------------------------

    @property
    def tells_restarts(self) -> bool:
        """Whether one life of the board's interpreter can be told from the next."""
        return self.life is not None

    @property
    def in_step(self) -> bool:
        """Whether the board is at a verified prompt, so that code may be sent."""
        return self.repl.state is _READY and not self._closed.done()

    @property
    def crosses_a_network(self) -> bool:
        """Whether what was sent can arrive any time later, also at a board that somebody else uses by then."""
        return self._transport is not None and crosses_a_network(self._transport)

    @property
    def may_have_started(self) -> bool:
        """Whether the board may have run any of the latest code."""
        if self.integrity is not None:
            latest = self.integrity.latest  # none before the first piece: what ran then were questions of our own
            return latest is not None and latest.may_have_started and not latest.not_started
        return self.repl.may_have_started

    async def execute(
        self, code: bytes, deadline: float, sink: Callable[[bytes], None] | None = None, *, nonce: str | None = None
    ) -> Finished | BoardReset:
        """Run code and return how it ended; with ``sink`` its output goes there as it comes.

        With a ``nonce`` the code marks the end of its response itself; see `RawRepl.submit`. Raises `Expired`,
        `LinkLost` or `ProtocolViolation`; the board is out of step then.
        """
        self._sink = sink
        self.interrupted = False
        marks_itself = nonce is not None
        if nonce is None:
            nonce = nonces.of_execution() if self.marked else ""
        self.repl.submit(code, nonce=nonce, stream=sink is not None, marks_itself=marks_itself)
        event = await self._exchange(deadline)
        assert isinstance(event, _ENDS)  # RESPONDING and REBOOTING end in no other
        return event

    async def ask(self, code: bytes, deadline: float) -> Finished | BoardReset:
        """`execute` a question of our own, checked where that is wanted."""
        run = self.execute if self.integrity is None else self.integrity.ask
        return await run(code, deadline)

    async def enter(self, deadline: float) -> Ready:
        """Bring the board to a verified raw prompt, whatever it is doing. Raises `Expired` or `LinkLost`."""
        interval = FIRST_HANDSHAKE_INTERVAL
        while True:
            self.repl.enter(nonces.of_handshake())
            try:
                event = await self._exchange(min(deadline, self._loop.time() + interval))
            except Expired:
                if self._loop.time() >= deadline:
                    raise
                interval = min(interval * 2, LONGEST_HANDSHAKE_INTERVAL)
                continue
            assert isinstance(event, Ready)  # ENTERING ends in no other
            return event

    async def soft_reset(self, deadline: float) -> BoardReset:
        """Restart the interpreter. Raises `Expired` or `LinkLost`."""
        self.repl.soft_reset()
        event = await self._exchange(deadline)
        assert isinstance(event, BoardReset)  # REBOOTING ends in no other
        return event

    async def reset_chip(self, profile: Profile) -> None:
        """Restart the board's chip by the lines of its port; it is out of step then.

        Raises `ConnectionFailed` where that cannot be, `Disconnected` or `LinkLost` when the port is gone.
        """
        if self._transport is None or self._ended:
            raise self._link_lost()
        self.chip_was_reset = True
        await reset_by_lines(self._transport, profile)

    async def recover(self, deadline: float) -> bool:
        """Stop whatever runs and return to a verified prompt; return whether the board is known to have restarted.

        Raises `Expired` or `LinkLost` when that fails.

        First the running code is interrupted until its response ends, which is certain and disturbs nothing. Code that
        catches the interrupt does not end; half the time is kept for a handshake, which interrupts it again.
        """
        self._sink = None
        self.resume_reading()
        now = self._loop.time()
        halfway = now + (deadline - now) / 2
        restarted = self.chip_was_reset
        interval = FIRST_INTERRUPT_INTERVAL
        while not restarted and self.repl.interrupt(nonces.of_fence()) and self._loop.time() < halfway:
            try:
                event = await self._exchange(min(halfway, self._loop.time() + interval))
            except Expired:
                interval = min(interval * 2, LONGEST_INTERRUPT_INTERVAL)
                continue
            except ProtocolViolation:
                break
            if isinstance(event, Finished) and self.integrity is None:
                return False
            restarted = isinstance(event, BoardReset)
            break
        await self.enter(deadline)
        self.chip_was_reset = False
        if self.integrity is not None:
            restarted |= await self.integrity.restarted(deadline)
        return restarted if self.life is None else await self._prepare(deadline)

    async def _prepare(self, deadline: float) -> bool:
        """Make responses markable again; return whether the interpreter is another one than before."""
        self.marked = False
        before = self.life
        restarted = False
        while isinstance(event := await self.ask(ask_life(nonces.of_life()), deadline), BoardReset):
            restarted = True  # at this very question, which is asked anew at the prompt behind it
            await self.enter(deadline)
            if self.integrity is not None:
                await self.integrity.restarted(deadline)
        words = [] if event.traceback else to_text(event.output).split()
        if not words:
            return restarted
        self.marked = self.marks
        # The output of a thread or a timer of the board may stand beside it.
        self.life = before if before in words else words[-1]
        return self.life != before

    def interrupt(self) -> None:
        """Send one Ctrl-C to the running code. Whoever waits for it may get `Dropped`: the board forgot the code."""
        self.interrupted = True
        if not self.repl.interrupt(nonces.of_fence()):
            self.fail(Dropped())
        self._flush()

    def send_input(self, data: bytes) -> bool:
        """Send what the running code may read; return whether any runs."""
        if self.repl.state is not ReplState.OUTPUT or self._transport is None or self._ended:
            return False
        self._counters.bytes_sent += len(data)
        self._transport.write(data)
        return True

    def close(self, *, stop: bool = True) -> None:
        """End the connection at once: stop running code, leave the raw REPL, close the port. Never raises.

        With ``stop`` False what runs goes on: nothing is sent to it.
        """
        if self._transport is None or self._ended:
            return
        was_in_step = self.in_step
        if was_in_step:
            self.repl.leave()
        elif stop:
            self.repl.interrupt()
        if self._loop.is_closed():
            # Nothing can be called back any more, but a last word can be said and the port given back.
            close_orphan(self._transport, self.repl.data_to_send())
            return
        running = self.repl.state is ReplState.OUTPUT  # then all that is on its way is a Ctrl-C
        self._flush()
        self._cancel_timers()
        if was_in_step or running:
            self._transport.abort()
        else:
            throw_away(self._transport)

    def throw_away(self, reason: Exception) -> None:
        """End a connection that did not answer in time, for all as if it had been lost, for this reason.

        The board is sent a last Ctrl-C. What has not left this computer by then never will.
        """
        if self._transport is not None and not self._ended:
            self._thrown_away = reason
            self.repl.interrupt()
            self._flush()
            self._cancel_timers()
            throw_away(self._transport)
