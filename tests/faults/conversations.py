"""What is said while the wire fails: each conversation, its one right end, and how its runs are counted.

The code of a conversation counts its own runs in a variable of the board, ``runs``, which the code of `proof` reads and
sets to 0 again. A scripted board runs no Python; `Script` does what the code of this module would do there.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from belay_py import BelayError, ExecutionError, Interrupted
from belay_py.session import encoder
from belay_py.testing import Forever, Raise

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py import DeviceSession
    from belay_py.testing import Answer, ScriptedBoard

_COUNT = "runs += 1\n"
SHORT = f"{_COUNT}print('six', 6 * 7)"
# Three windows and a bit: two go out at once, the others wait for credits.
LONG = f"{_COUNT}text = '''\n" + "0123456789abcde\n" * 24 + "'''\nprint(len(text))"
HEAVY = f"{_COUNT}for i in range(25): print('line', i, 'of much output')"
ERROR = f"{_COUNT}print('before')\nraise ValueError('real')"
STREAM = f"{_COUNT}for i in range(6): print('piece', i)"
LOOP = f"{_COUNT}print('go')\nwhile True: pass"
VALUE = f"{_COUNT}[6 * 7, 'value']"

_HEAVY_OUTPUT = "".join(f"line {i} of much output\n" for i in range(25))
_STREAM_OUTPUT = "".join(f"piece {i}\n" for i in range(6))
_PROOF = "print('proof', {}, globals().get('runs'))\nruns = 0"


class WrongEnd(Exception):
    """A conversation did something that no fault excuses."""


@dataclass(frozen=True, eq=False)
class Conversation:
    """What is said, from the moment in which the fault is armed."""

    name: str
    act: Callable[[DeviceSession, float], Awaitable[object]]
    """Does it, within so many seconds, and returns its outcome."""
    right: object
    """The only right outcome; None: whatever it is without a fault."""
    runs: int = 1
    """How often its code runs then."""
    begin: Callable[[DeviceSession], Awaitable[object]] | None = None
    """What goes before it, without a fault."""


def proof(number: int) -> str:
    """Code that proves that the answer is its own, tells how often other code ran, and counts from 0 again."""
    return _PROOF.format(number)


def read_proof(output: str, number: int) -> int | None:
    """Return how often code ran; None: the interpreter has restarted since. Raises `WrongEnd` for other answers."""
    match = re.fullmatch(rf"proof {number} (\d+|None)\n", output)
    if match is None:
        raise WrongEnd(f"the next execution got an answer that is not its own: {output!r}")
    return None if match[1] == "None" else int(match[1])


def execution(name: str, code: str, output: str) -> Conversation:
    """Return a conversation of one `execute`."""

    async def act(session: DeviceSession, limit: float) -> object:
        return (await session.execute(code, timeout=limit)).output

    return Conversation(name, act, output)


async def _connect(session: DeviceSession, limit: float) -> object:
    await session.connect()
    info = session.info
    return info.implementation, info.version, info.machine, info.platform, info.unique_id, info.capabilities


async def _fail(session: DeviceSession, limit: float) -> object:
    try:
        return await session.execute(ERROR, timeout=limit)
    except ExecutionError as error:
        return error.type, error.message, error.output


async def _stream(session: DeviceSession, limit: float) -> object:
    pieces = []
    try:
        async for piece in session.stream(STREAM, timeout=limit):
            pieces.append(piece)  # noqa: PERF401  they are looked at when it fails half-way
    except BelayError as error:
        error.add_note(f"after {''.join(pieces)!r}")
        error.streamed = "".join(pieces)  # type: ignore[attr-defined]  # for the judge
        raise
    return "".join(pieces)


async def _interrupt(session: DeviceSession, limit: float) -> object:
    seen = ""
    stopping: asyncio.Task[bool] | None = None
    try:
        async for piece in session.stream(LOOP, timeout=limit):
            seen += piece
            if stopping is None and "go\n" in seen:
                stopping = asyncio.create_task(session.interrupt(timeout=limit))
    except Interrupted:
        if stopping is None:
            raise WrongEnd("interrupted, and nobody has interrupted it") from None
        return seen, await stopping
    finally:
        if stopping is not None:
            with contextlib.suppress(BelayError):
                await stopping
    return seen, None


async def _evaluate(session: DeviceSession, limit: float) -> object:
    return await session.evaluate(VALUE, timeout=limit)


async def _disconnect(session: DeviceSession) -> None:
    await session.disconnect()


async def _know_the_encoder(session: DeviceSession) -> None:
    await session.evaluate("0", timeout=60)


async def _forget_the_encoder(session: DeviceSession) -> None:
    await session.soft_reset(timeout=60)
    await session.execute("runs = 0", timeout=60)


CONVERSATIONS = (
    Conversation("connect", _connect, None, runs=0, begin=_disconnect),
    execution("short execute", SHORT, "six 42\n"),
    execution("long execute", LONG, "385\n"),
    execution("much output", HEAVY, _HEAVY_OUTPUT),
    Conversation("exception", _fail, ("ValueError", "real", "before\n")),
    Conversation("stream", _stream, _STREAM_OUTPUT),
    Conversation("interrupt", _interrupt, ("go\n", True)),
    Conversation("evaluate", _evaluate, [42, "value"], begin=_know_the_encoder),
    Conversation("first evaluate", _evaluate, [42, "value"], begin=_forget_the_encoder),
)
BY_NAME = {conversation.name: conversation for conversation in CONVERSATIONS}
STREAMED = {"stream": _STREAM_OUTPUT, "interrupt": "go\n"}


class Script:
    """What `board` makes of the code of this module: a variable that counts, and the encoder of values."""

    def __init__(self, board: ScriptedBoard) -> None:
        self._board = board
        self._life = 0
        self._runs: int | None = None
        self._has_encoder = False

    def on_code(self, code: str) -> Answer:
        """Run one piece of code, as far as it is known here; the rest is no Python."""
        if self._life != self._board.boots:
            self._life, self._runs, self._has_encoder = self._board.boots, None, False
        if code == "runs = 0":
            self._runs = 0
            return None
        if match := re.fullmatch(re.escape(_PROOF).replace(r"\{\}", r"(\d+)"), code):
            runs, self._runs = self._runs, 0
            return f"proof {match[1]} {runs}\n"
        if code.encode() in encoder.INSTALL:
            self._has_encoder |= code.encode() == encoder.INSTALL[-1]
            return None
        if match := re.fullmatch(rf"(.*?);?{encoder.NAME}\('(\w+)',\((.*)\)\)", code, re.DOTALL):
            return self._evaluate(*match.groups())
        answer = _ANSWERS.get(code)
        return Raise("SyntaxError", "invalid syntax") if answer is None else self._counted(answer)

    def _counted(self, answer: Answer) -> Answer:
        if self._runs is None:
            return Raise("NameError", "name 'runs' isn't defined")
        self._runs += 1
        return answer

    def _evaluate(self, before: str, nonce: str, expression: str) -> Answer:
        if not self._has_encoder:
            return Raise("NameError", f"name '{encoder.NAME}' isn't defined")
        text = {"0": "0,", "[6 * 7, 'value']": "[2a,'value']"}.get(expression)
        if text is None:
            return Raise("SyntaxError", "invalid syntax")
        answer = f"~{nonce}:{text};{len(text):x};{nonce}"
        return self._counted(answer) if _COUNT in before else answer


_ANSWERS: dict[str, Any] = {
    SHORT: "six 42\n",
    LONG: "385\n",
    HEAVY: _HEAVY_OUTPUT,
    ERROR: ("before\n", Raise("ValueError", "real")),
    STREAM: _STREAM_OUTPUT,
    LOOP: ("go\n", Forever()),
}
