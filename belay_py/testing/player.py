"""Taking a script's steps, in the loop's time."""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import TYPE_CHECKING

from belay_py.testing.steps import Forever, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from belay_py.testing.steps import ActiveStep, Step


class Player:
    """One script in progress. ``act`` takes a step and returns whether to go on; ``ended`` is called after the last.

    Both are called from within `start`, or by a timer of the running loop.
    """

    def __init__(self, steps: Iterable[Step], act: Callable[[ActiveStep], bool], ended: Callable[[], None]) -> None:
        self._steps: Iterator[Step] = iter(steps)
        self._act = act
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Take the steps up to the first pause."""
        self._timer = None
        for step in self._steps:
            if isinstance(step, Forever):
                self._steps = cycle((step.data, Pause(step.every))) if step.data else iter(())
                if step.data:
                    self.start()
                return
            if isinstance(step, Pause):
                self._timer = asyncio.get_running_loop().call_later(step.seconds, self.start)
                return
            if not self._act(step) or self._stopped:
                return
        self._ended()

    def stop(self) -> None:
        """Take no more steps."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
