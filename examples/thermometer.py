"""A class that describes one kind of board: a thermometer (LM35-like, 10 mV per degree, on pin 26).

    python examples/thermometer.py [PORT]

On the virtual board this program holds the other end of the pin as well: it sets the voltage, and the board reads it.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from belay_py import Board, DeviceSession, setup, task, teardown
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the setup makes on the board. Here it is for readers and type checkers only.
machine: Any
adc: Any


class Thermometer(Board):
    """A board with an analogue temperature sensor. These functions run on the board."""

    @setup(imports="machine")
    @staticmethod
    def prepare() -> None:
        """Runs when a session connects to the board, and whenever the board begins anew."""
        global adc  # noqa: PLW0603  it is the board's
        adc = machine.ADC(26)  # noqa: F821  it is declared above

    @task
    @staticmethod
    def celsius(samples: int = 4) -> float:
        """Read the temperature as the mean of some samples."""
        total = sum(adc.read_u16() for _ in range(samples))
        return total / samples * 3.3 / 65535 / 0.01  # type: ignore[no-any-return]  # it is looked at when it comes

    @task(timeout=60)
    @staticmethod
    def warnings(limit: float) -> Iterator[str]:
        """Tell each reading above a limit until there is none. The board reads when a value is asked for."""
        while True:
            degrees = adc.read_u16() * 330 / 65535
            if degrees <= limit:
                return
            yield f"{degrees:.1f} C"

    @teardown
    @staticmethod
    def forget() -> None:
        """Runs before the session is closed."""
        global adc  # noqa: PLW0603  it is the board's
        adc = None


async def on_virtual_board() -> None:
    """Set temperatures and read them back."""
    async with VirtualBoard() as board, DeviceSession(board.port) as session:
        thermometer = Thermometer(session)
        for degrees in (4.0, 21.5, 85.0):
            await board.set_adc(26, round(degrees * 0.01 / 3.3 * 65535))
            print(f"set {degrees:.1f} C, the board read {await thermometer.celsius():.1f} C")
        async for warning in thermometer.warnings(80.0):
            print(f"too hot: {warning}")
            await board.set_adc(26, 0)


async def on_board(port: str) -> None:
    """Read a real sensor once."""
    async with DeviceSession(port) as session:
        print(f"the board read {await Thermometer(session).celsius():.1f} C")


def main(port: str = "virtual:") -> None:
    """Read the temperature."""
    asyncio.run(on_virtual_board() if port == "virtual:" else on_board(port))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", nargs="?", default="virtual:")
    main(parser.parse_args().port)
