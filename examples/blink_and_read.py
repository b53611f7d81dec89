"""Blink an LED and read an analogue pin, in a script that blocks.

    python examples/blink_and_read.py [PORT] [--led PIN] [--adc PIN]

Pins are numbers or names, as ``machine.Pin`` takes them: 25 on a Pico, ``LED`` on a Pico W. The virtual board has any.
"""

from __future__ import annotations

import argparse

from belay_py.sync import DeviceSession

SETUP = """
import machine, time
led = machine.Pin({led!r}, machine.Pin.OUT)
adc = machine.ADC({adc!r})
"""

BLINK = """
for _ in range(3):
    led.value(1)
    time.sleep_ms(100)
    led.value(0)
    time.sleep_ms(100)
    print("blink")
"""


def main(port: str = "virtual:", led: int | str = 25, adc: int = 26) -> None:
    """Blink three times, then read the pin."""
    with DeviceSession(port) as board:
        print(f"{board.info.implementation} {'.'.join(map(str, board.info.version))}")
        board.execute(SETUP.format(led=led, adc=adc))  # names stay on the board between executions
        for line in board.stream(BLINK, mode="lines"):
            print(line)
        reading = board.evaluate("adc.read_u16()")
        print(f"pin {adc} reads {reading} of 65535")


def pin(text: str) -> int | str:
    """Read a pin's number or name."""
    return int(text) if text.isdecimal() else text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", nargs="?", default="virtual:")
    parser.add_argument("--led", type=pin, default=25)
    parser.add_argument("--adc", type=int, default=26)
    chosen = parser.parse_args()
    main(chosen.port, chosen.led, chosen.adc)
