"""An instrument that remembers what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.metrics import Operation


@dataclass(eq=False)
class Told:
    """One operation, and how it went on."""

    operation: Operation
    sessions: Mapping[str, str] = field(default_factory=dict)
    waited: float = -1.0
    endings: list[tuple[float, BaseException | None]] = field(default_factory=list)

    def granted(self, sessions: Mapping[str, str], waited: float, /) -> None:
        self.sessions, self.waited = sessions, waited

    def ended(self, duration: float, error: BaseException | None, /) -> None:
        self.endings.append((duration, error))

    @property
    def error(self) -> BaseException | None:
        """What the one ending told."""
        [(_, error)] = self.endings
        return error


class Recorder:
    """Remembers all."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def begin(self, operation: Operation, /) -> Told:
        self.told.append(Told(operation))
        return self.told[-1]

    @property
    def kinds(self) -> list[str]:
        """What began, in order."""
        return [told.operation.kind for told in self.told]

    def of(self, kind: str) -> list[Told]:
        """Those of one kind."""
        return [told for told in self.told if told.operation.kind == kind]
