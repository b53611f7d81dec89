"""What every faulty wire does with what is asked of it, whether in a process of its own or in memory.

Requests and answers are what JSON can hold, so that the two are one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from belay_py.errors import BelayError
from belay_py.testing.wire_faults import from_json
from belay_py.testing.wire_lane import Lane, Model


class WireWorks(ABC):
    """Two lanes between an end that is plugged and unplugged, and a board."""

    def __init__(self, model: Model) -> None:
        self.to_board = Lane("to_board", model)
        self.to_host = Lane("to_host", model)
        self.is_cut = True
        """Whether the host's end is away."""
        self.has_board = False

    @property
    def lanes(self) -> tuple[Lane, Lane]:
        """Both."""
        return self.to_board, self.to_host

    def handle(self, asked: dict[str, Any]) -> Any:
        """Do one thing and return its answer. Raises `BelayError`."""
        what = asked["do"]
        if what in ("at", "stall", "resume", "clear"):
            self._handle_lane(self.to_board if asked["lane"] == "to_board" else self.to_host, asked)
        elif what == "look":
            return self.look()
        elif what == "plug":
            return self._plug(asked.get("where"))
        elif what == "reset":
            for lane in self.lanes:
                lane.reset()
        elif what == "half_open":
            for lane in self.lanes:
                lane.vanish()
        elif what == "cut":
            self.cut()
        elif what == "leave_board":
            self._leave_board()
            self.has_board = False
        else:
            raise BelayError(f"a wire cannot {what}")
        self.go_on()
        return None

    def _handle_lane(self, lane: Lane, asked: dict[str, Any]) -> None:
        if asked["do"] == "at":
            lane.at(asked["place"], from_json(asked["fault"]))
        elif asked["do"] == "clear":
            lane.clear()
        else:
            lane.stalled = asked["do"] == "stall"

    def look(self) -> dict[str, Any]:
        """How all is."""
        return {
            "to_board": self.to_board.look(),
            "to_host": self.to_host.look(),
            "cut": self.is_cut,
            "board": self.has_board,
        }

    def _plug(self, where: str | None) -> str:
        if not self.is_cut:
            raise BelayError("the wire is plugged in already; cut() or unplug() it first")
        port = self.plug(where)
        for lane in self.lanes:
            lane.restart()
        self.is_cut = False
        self.go_on()
        return port

    @abstractmethod
    def plug(self, where: str | None) -> str:
        """Make the host's end at ``where``, or where it was; return the port."""

    @abstractmethod
    def cut(self) -> None:
        """Lose the host's end, after it has had what was delivered; ``is_cut`` when that is done."""

    @abstractmethod
    def _leave_board(self) -> None:
        """Close the board's end."""

    @abstractmethod
    def go_on(self) -> None:
        """Something has changed: look again what there is to do."""
