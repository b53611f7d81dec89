"""USB vendor and product numbers that MicroPython and CircuitPython boards show.

Numbers tell what a port *may* be: a bridge says nothing about the chip behind it, and a vendor's range holds devices
that run no Python at all. Whether MicroPython answers is known only after connecting.
"""

from __future__ import annotations

from typing import Final, Literal

Likelihood = Literal["likely", "maybe", "unlikely"]

ANY: Final = None
"""Every product of a vendor."""

# Raspberry Pi's list of its products, https://github.com/raspberrypi/usb-pid. 0004 and 000C are debug probes, whose
# serial port may lead to a board, so they are "maybe" further down; from 1000 on it lists other makers' boards.
_RASPBERRY_PI = 0x2E8A

LIKELY: Final[dict[tuple[int, int | None], str]] = {
    (_RASPBERRY_PI, 0x0005): "rp2",  # MicroPython's own CDC port
    (_RASPBERRY_PI, 0x000B): "rp2 CircuitPython",
    # pid.codes-like "FOSS" numbers: micropython ports/stm32/usb.c (9800 to 980x by USB mode), mimxrt and samd (9802).
    (0xF055, 0x9800): "pyboard",
    (0xF055, 0x9801): "pyboard",
    (0xF055, 0x9802): "pyboard, mimxrt or samd",
    (0x303A, ANY): "esp32 with native USB",  # micropython ports/esp32: 4001 by TinyUSB, 1001 USB-Serial/JTAG
    (0x239A, ANY): "Adafruit, CircuitPython",  # circuitpython ports/*/boards/*/mpconfigboard.mk
    (0x0D28, 0x0204): "micro:bit or DAPLink",  # https://github.com/ARMmbed/DAPLink
}

MAYBE: Final[dict[tuple[int, int | None], str]] = {
    (_RASPBERRY_PI, 0x0004): "Picoprobe",
    (_RASPBERRY_PI, 0x000A): "Pico SDK serial port",
    (_RASPBERRY_PI, 0x000C): "Raspberry Pi Debug Probe",
    # USB-UART bridges: https://github.com/torvalds/linux drivers/usb/serial/{cp210x,ch341,ftdi_sio}.c
    (0x10C4, 0xEA60): "CP210x bridge",
    (0x1A86, 0x7523): "CH340 bridge",
    (0x1A86, 0x55D3): "CH343 bridge",
    (0x1A86, 0x55D4): "CH9102 bridge",
    (0x0403, 0x6001): "FT232R bridge",
    (0x0403, 0x6010): "FT2232 bridge",
    (0x0403, 0x6014): "FT232H bridge",
    (0x0403, 0x6015): "FT-X bridge",
}


def classify(vid: int | None, pid: int | None) -> tuple[Likelihood, str | None]:
    """How likely MicroPython is behind a port with these numbers, and what it would be."""
    if vid is None:
        return "unlikely", None
    if vid == _RASPBERRY_PI and pid is not None and pid >= 0x1000:
        return "likely", "rp2, another maker's board"
    verdicts: tuple[tuple[Likelihood, dict[tuple[int, int | None], str]], ...] = (("likely", LIKELY), ("maybe", MAYBE))
    for likelihood, table in verdicts:
        what = table.get((vid, pid)) or table.get((vid, ANY))
        if what is not None:
            return likelihood, what
    return "unlikely", None
