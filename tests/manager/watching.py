"""What the tests of watching share: a manager over scripted boards, and what happened when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from belay_py import DeviceSessionManager
from belay_py.events import SessionEvent, StateChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class NoChance:
    """Chance that always says the same: full jitter takes the whole delay at 1."""

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def random(self) -> float:
        """The number."""
        return self.value


class Diary:
    """The events of a manager's sessions, with the loop's time, as short lines."""

    def __init__(self, manager: DeviceSessionManager) -> None:
        self.entries: list[tuple[float, str, str]] = []
        self.events: list[SessionEvent] = []
        manager.subscribe(self._note)

    def _note(self, event: SessionEvent) -> None:
        if isinstance(event, StateChanged):
            return
        self.events.append(event)
        about = [
            f"{value:g}" if isinstance(value, float) else str(value)
            for name in ("reason", "attempt", "delay", "attempts", "losses", "seconds", "held", "leaked")
            if (value := getattr(event, name, None)) is not None
        ]
        when = round(asyncio.get_running_loop().time(), 3)
        self.entries.append((when, event.session.device_id, " ".join((type(event).__name__, *about))))

    def take(self) -> list[tuple[float, str, str]]:
        """What there is, which is forgotten then."""
        taken, self.entries = self.entries, []
        return taken


def manager_with(chance: float = 1.0, **options: Any) -> tuple[DeviceSessionManager, Diary]:
    """A manager whose chance is known, and what happens in it."""
    manager = DeviceSessionManager(**options)
    manager._pool.random = NoChance(chance)  # type: ignore[assignment]  # the one method that is used
    return manager, Diary(manager)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, turn by turn of the loop."""
    while not condition():
        await asyncio.sleep(0.01)


def codes(executions: Iterable[Any]) -> list[str]:
    """What a scripted board has run."""
    return [execution.code for execution in executions]
