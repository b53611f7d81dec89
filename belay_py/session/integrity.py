"""The integrity mode: on a noisy wire a result is right, or there is a typed error; nothing runs twice.

The board checks code before it runs any of it, notes its nonce before it begins, and ends with a report of what it
wrote (`belay_py.session.integrity_code`). Whenever that report does not come, or does not agree with the output, the
board is brought to a verified prompt and asked for the report of its latest code. If that is of another nonce, the code
did not start, and is sent again; if it agrees with the output that came, that is the result; else nobody can have it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.errors import ProtocolViolation
from belay_py.protocol import BoardReset, Finished, ReplState
from belay_py.session import integrity_code, nonces
from belay_py.session.integrity_report import Receipt
from belay_py.session.memory import ALWAYS_FITS, does_not_fit, require_room
from belay_py.session.outcomes import Dropped, Expired, Restarted, Stalled
from belay_py.session.tracebacks import is_keyboard_interrupt
from belay_py.text import to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.session.channel import Channel

ATTEMPTS = 4
"""How often code is sent that came damaged each time."""
_SILENCE = 1.0
"""Seconds that a board which reads code may be silent, beyond what the bytes need: it only takes them."""
_END = 0.3
"""Seconds between a report and the three bytes behind it."""
_QUESTION = 1.0
"""Seconds for an answer that takes a board milliseconds."""
_INSTALLING = 4.0
"""Seconds for the installation, which a slow board compiles in less than one."""
_BITS = 10  # on the wire, per byte
_MISSING = b"NameError: name '%s' isn't defined" % integrity_code.NAME.encode()
_MISSING_TERSE = b"NameError: name not defined"
_UPLOADING = (ReplState.HEADER, ReplState.UPLOADING)


class Sent:
    """One piece of code on its way, and what the board says about it when asked."""

    def __init__(self, nonce: str, receipt: Receipt) -> None:
        self.nonce = nonce
        self.receipt = receipt
        self.may_have_started = False
        """Whether the end of the code was handed out."""
        self.asked = False
        """Whether the board has been asked; only then the rest means anything."""
        self.began = False
        self.ended = b""
        """What the board's report of it says, if it has ended."""

    @property
    def not_started(self) -> bool:
        """Whether the code certainly has not run."""
        return self.asked and not self.began

    def note(self, answer: bytes) -> None:
        """Take the board's answer about its latest code."""
        nonce, _, ended = answer.partition(b",")
        self.asked = True
        self.began = nonce == self.nonce.encode()
        self.ended = ended if self.began else b""


class Integrity:
    """Checked executions on one channel, which knows it as ``channel.integrity``."""

    def __init__(self, channel: Channel, baudrate: int) -> None:
        self._channel = channel
        self._byte = _BITS / baudrate
        self.latest: Sent | None = None
        """The code that was sent last."""
        self._interrupted = False

    @classmethod
    async def install(cls, channel: Channel, baudrate: int, deadline: float) -> None:
        """Put the board's part on the board, and from now on check everything.

        Raises `Expired`, `LinkLost`, or `ProtocolViolation` when the board lacks what it needs, or the wire is too bad.
        """
        integrity = cls(channel, baudrate)
        await integrity._install(deadline)
        channel.integrity = integrity

    async def execute(
        self,
        code: bytes,
        deadline: float,
        sink: Callable[[bytes], None] | None = None,
        *,
        once: bool = False,
    ) -> Finished | BoardReset:
        """Run code and return how it ended, checked. With ``once`` it is sent once, come what may.

        Raises what `Channel.execute` raises, `Restarted`, and `ProtocolViolation` when the code did not come through
        undamaged, or ran and its result did not. After each of them, and the board's reset, a recovery must follow.
        """
        channel = self._channel
        self.latest, self._interrupted = None, False
        for _ in range(1 if once else ATTEMPTS):
            nonce = nonces.of_execution()
            line = integrity_code.run(nonce, code)
            if len(line) > ALWAYS_FITS:
                await require_room(channel, line, deadline)
            self.latest = sent = Sent(nonce, Receipt(nonce, sink))
            event = await self._send(sent, line, deadline)
            if isinstance(event, BoardReset):
                return BoardReset(sent.receipt.output, event.boot_output)
            if event is not None and (result := sent.receipt.result()) is not None:
                return Finished(*result)
            traceback = b"" if event is None else event.traceback
            if channel.interrupted and is_keyboard_interrupt(traceback):
                return Finished(sent.receipt.output, traceback)
            if await self._ask(deadline):
                raise Restarted(not_started=_is_missing(traceback))
            if sent.began:
                return _result(sent)
            if self._interrupted:
                raise Dropped
            if traceback.startswith(b"MemoryError"):
                raise does_not_fit(channel, line, to_text(traceback), "not_started")
            if sink is not None and sent.receipt.length:
                break  # whoever streams has read what was no output: only an error can take that back
        raise ProtocolViolation(
            "the code did not reach the board undamaged, so none of it ran; see to the cable, its length and the "
            "baudrate, then send it again",
            outcome="not_started",
        )

    async def ask(self, code: bytes, deadline: float) -> Finished | BoardReset:
        """`execute` code that may run twice. Raises `Expired`, `LinkLost` or `ProtocolViolation`."""
        for _ in range(ATTEMPTS - 1):
            try:
                return await self.execute(code, deadline)
            except (ProtocolViolation, Restarted, Dropped):
                await self._channel.enter(deadline)
        try:
            return await self.execute(code, deadline)
        except (Restarted, Dropped):
            raise ProtocolViolation("the board restarts again and again; see to its power") from None

    async def restarted(self, deadline: float) -> bool:
        """Return whether the interpreter is another one than before; it is ready for checked code again then.

        The board is at a verified prompt. Raises `Expired`, `LinkLost` or `ProtocolViolation`.
        """
        answer = await self._question(deadline)
        if answer is None:
            await self._install(deadline)
            return True
        if self.latest is not None and not self.latest.asked:
            self.latest.note(answer)
        return False

    # -- internals ----------------------------------------------------------------------------------------------

    async def _send(self, sent: Sent, line: bytes, deadline: float) -> Finished | BoardReset | None:
        """Send a line and take its response; None where that went wrong. Raises `Expired` or `LinkLost`."""
        channel, loop = self._channel, asyncio.get_running_loop()
        end: list[asyncio.TimerHandle] = []

        def take(data: bytes) -> None:
            if sent.receipt.take(data) and not end:
                end.append(loop.call_later(_END, channel.fail, Stalled()))

        try:
            return await self._exchange(line, deadline, take, sent.nonce)
        finally:
            for timer in end:
                timer.cancel()
            sent.may_have_started = channel.repl.may_have_started
            self._interrupted |= channel.interrupted

    async def _exchange(
        self, line: bytes, deadline: float, take: Callable[[bytes], None] | None = None, nonce: str | None = None
    ) -> Finished | BoardReset | None:
        features = self._channel.repl.features
        in_one_go = min(len(line), 2 * features.window if features and features.window else len(line))
        watch = _Watch(self._channel, _SILENCE + 2 * in_one_go * self._byte)
        try:
            return await self._channel.execute(line, deadline, take, nonce=nonce)
        except (ProtocolViolation, Stalled):
            return None
        finally:
            watch.end()

    async def _ask(self, deadline: float) -> bool:
        """Bring the board to its prompt and ask about the latest code; return whether the board has restarted."""
        self._channel.resume_reading()
        await self._channel.enter(deadline)
        return await self.restarted(deadline)

    async def _question(self, deadline: float) -> bytes | None:
        """Return the board's answer about its latest code, None where its part of the integrity mode is missing."""
        channel = self._channel
        missing = 0
        for _ in range(ATTEMPTS):
            nonce = nonces.of_execution()
            question = Sent(nonce, Receipt(nonce))
            soon = min(deadline, asyncio.get_running_loop().time() + _QUESTION + 200 * self._byte)
            try:
                event = await self._send(question, integrity_code.ask(nonce), soon)
            except Expired:
                if soon == deadline:
                    raise
                event = None
            except Dropped:
                self._interrupted = True
                event = None
            answer = question.receipt.body()
            if isinstance(event, Finished) and answer is not None and not event.traceback:
                return answer
            missing += isinstance(event, Finished) and _is_missing(event.traceback)
            if missing > 1:  # a damaged name would be a chance of its own, and another one each time
                return None
            await channel.enter(deadline)
            if answer is not None:
                return answer
        raise ProtocolViolation("the board's answers came damaged again and again; see to the cable and the baudrate")

    async def _install(self, deadline: float) -> None:
        channel = self._channel
        lacks = 0
        for _ in range(ATTEMPTS):
            wire = 2 * len(integrity_code.INSTALL) * self._byte
            soon = min(deadline, asyncio.get_running_loop().time() + _INSTALLING + wire)
            try:
                event = await self._exchange(integrity_code.INSTALL, soon)
            except Expired:
                if soon == deadline:
                    raise
                event = None
            lacks += isinstance(event, Finished) and _lacks(event.traceback)
            if isinstance(event, Finished) and lacks > 1:
                raise ProtocolViolation(
                    "the board lacks what communication.integrity needs (binascii with crc32, compile, "
                    f"sys.stdout.buffer): {to_text(event.traceback).strip()}; switch it off",
                    outcome="not_started",
                )
            if event is None or isinstance(event, BoardReset) or event.traceback:
                await channel.enter(deadline)
            if await self._question(deadline) is not None:
                return
        raise ProtocolViolation(
            "the integrity mode could not be set up, all came damaged; see to the cable and the baudrate"
        )


class _Watch:
    """Ends an exchange with `Stalled` when the board is silent for some seconds while it should be reading code."""

    def __init__(self, channel: Channel, allowed: float) -> None:
        self._channel = channel
        self._allowed = allowed
        self._heard = -1
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._allowed, self._look)

    def _look(self) -> None:
        repl = self._channel.repl
        if repl.state not in _UPLOADING:
            return
        heard = self._channel.bytes_received
        if heard == self._heard and not repl.waits_for_time and not self._channel.unsent:
            self._channel.fail(Stalled())
        self._heard = heard
        self._arm()


def _is_missing(traceback: bytes) -> bool:
    last = traceback.rstrip().rpartition(b"\n")[2]
    return last in (_MISSING, _MISSING_TERSE)


def _lacks(traceback: bytes) -> bool:
    last = traceback.rstrip().rpartition(b"\n")[2]
    return last.startswith((b"ImportError", b"AttributeError", b"MemoryError")) or b"'compile'" in last


def _result(sent: Sent) -> Finished:
    """Return the result of code that ran and was asked about, if what came of it agrees."""
    result = sent.receipt.result(sent.ended)
    if result is None:
        happened = "ran to its end" if sent.ended else "was stopped, since its answer came damaged"
        raise ProtocolViolation(
            f"the code {happened}, and what came is not what the board wrote. Damage on the wire, or output that "
            "bypasses print() and sys.stdout; see docs/integrity.md",
            received=sent.receipt.output[-200:],
        )
    return Finished(*result)
