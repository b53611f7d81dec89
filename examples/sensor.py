"""Read an LM35-like temperature sensor (10 mV per degree) on an analogue pin.

    python examples/sensor.py [PORT] [--adc PIN]

On the virtual board this program holds the other end of the pin as well: it sets the voltage, and the board reads it.
"""

from __future__ import annotations

import argparse
import asyncio

from belay_py import DeviceSession
from belay_py.virtual import VirtualBoard

DRIVER = """
import machine

class Thermometer:
    def __init__(self, pin):
        self._adc = machine.ADC(pin)

    def celsius(self):
        return self._adc.read_u16() * 3.3 / 65535 / 0.01

sensor = Thermometer({pin})
"""


async def temperature(session: DeviceSession) -> float:
    """Ask the board for one reading, in degrees Celsius."""
    return float(await session.evaluate("sensor.celsius()"))


async def on_virtual_board(pin: int) -> None:
    """Set three temperatures and read each back."""
    async with VirtualBoard() as board, DeviceSession(board.port) as session:
        await session.execute(DRIVER.format(pin=pin))
        for degrees in (4.0, 21.5, 85.0):
            await board.set_adc(pin, round(degrees * 0.01 / 3.3 * 65535))
            print(f"set {degrees:.1f} C, the board read {await temperature(session):.1f} C")


async def on_board(port: str, pin: int) -> None:
    """Read a real sensor once."""
    async with DeviceSession(port) as session:
        await session.execute(DRIVER.format(pin=pin))
        print(f"the board read {await temperature(session):.1f} C")


def main(port: str = "virtual:", pin: int = 26) -> None:
    """Read the temperature."""
    asyncio.run(on_virtual_board(pin) if port == "virtual:" else on_board(port, pin))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", nargs="?", default="virtual:")
    parser.add_argument("--adc", type=int, default=26)
    chosen = parser.parse_args()
    main(chosen.port, chosen.adc)
