"""The board with the driver on it, and the bench: whoever has the other ends of the board's pins.

The tests know `Bench` only. Which one they get goes by what the board is, so they run unchanged on a virtual board,
where the computer has the other ends, and on a real one, where jumper wires lead to pins of the same board.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from belay_py import task
from belay_py.virtual import BoardProcess, open_board

if TYPE_CHECKING:
    from belay_py.pytest_plugin.provisioning import BoardFiles
    from belay_py.sync import DeviceSession

ADC, POWER, READY = 26, 14, 15
"""The driver's pins."""
LEVEL_WIRE = 16
"""Where the analogue pin's wire leads to on a real board. Another wire joins POWER and READY."""

machine: Any  # on the board


class Bench(Protocol):
    """What plays the probe. It is ready as soon as it has power."""

    def set_level(self, raw: int) -> None:
        """Have the analogue output at this level, of 65535; skip the test where that cannot be had."""


class VirtualBench:
    """The computer has the other ends."""

    def __init__(self, process: BoardProcess) -> None:
        self._process = process
        process.set_pin(READY, 1)

    def set_level(self, raw: int) -> None:
        self._process.set_adc(ADC, raw)


class WiredBench:
    """Wires lead back to the board, which plays the probe as well. A plain pin gives two levels."""

    def __init__(self, board: DeviceSession) -> None:
        self._drive = board.task(drive)

    def set_level(self, raw: int) -> None:
        if raw not in {0, 65535}:
            pytest.skip(f"a wire from pin {LEVEL_WIRE} gives 0 and 65535, and not {raw}")
        self._drive(LEVEL_WIRE, int(raw > 0))


@task(imports="machine")
def drive(pin: int, level: int) -> None:
    """Run on the board."""
    machine.Pin(pin, machine.Pin.OUT).value(level)  # noqa: F821  it is declared above


@pytest.fixture
def bench(board: DeviceSession) -> Bench:
    """Give what plays the probe. Which one it is goes by what the board is."""
    if board.port.startswith("virtual:"):
        return VirtualBench(open_board(board.port))
    if "wired" in board.options.tags:
        return WiredBench(board)
    pytest.skip(f"nothing is known to be wired to {board.port}; README.md says what to wire, and how to say so")


@pytest.fixture
def sensor(board: DeviceSession, board_files: BoardFiles) -> DeviceSession:
    """Give the board, on which ``sensor`` is a `SoilSensor`."""
    board_files.put(Path(__file__).with_name("soil_sensor.py"), "/lib/soil_sensor.py")
    board.execute(f"from soil_sensor import *\nsensor = SoilSensor({ADC}, {POWER}, {READY})")
    return board
