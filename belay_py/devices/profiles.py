"""What a board's DTR and RTS do, by the USB numbers of its port.

The two lines mean different things, and no pair of values suits everybody (micropython #9659, #11075, PR #18001):

- With native USB, DTR says that a host is there. Many boards send nothing without it.
- Boards with an ESP chip behind a bridge wire the lines crosswise: DTR off with RTS on pulls EN low, which is reset;
  DTR on with RTS off pulls GPIO0 low, which asks for the bootloader. Equal lines do nothing
  (Espressif's documentation, "Boot Mode Selection", automatic bootloader).
- Chips by Espressif with native USB imitate that: in hardware (USB-Serial/JTAG) or in TinyUSB's callback.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from belay_py.devices.identity import describe
from belay_py.devices.usb_ids import ANY
from belay_py.options import check_profile

if TYPE_CHECKING:
    from belay_py.devices.discovery import Comports

_USB = re.compile(r"usb:([0-9a-f]{1,4}):([0-9a-f]{1,4})(?::.*)?", re.IGNORECASE)


class LineStep(NamedTuple):
    """Both lines at once, and how many seconds they stay so."""

    dtr: bool
    rts: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """How to treat one family's lines. None leaves a line, or the choice, to the driver.

    ``hang_up``: whether closing the port may drop the lines (HUPCL of termios). ``reset_lines`` restart the chip, and
    leave the lines as they are meant to be while the port is open; None where no sequence does.
    """

    name: str
    dtr: bool | None = None
    rts: bool | None = None
    hang_up: bool | None = None
    reset_lines: tuple[LineStep, ...] | None = None

    @property
    def reset_by_lines(self) -> bool:
        """Whether the lines can restart the chip."""
        return self.reset_lines is not None


GENERIC: Final = Profile("generic")
"""Of unknown boards and of ports without a USB identity: nothing is touched."""

# Off and off from before the opening on, and kept so by closing. The pulse is esptool's HardReset
# (esptool/reset.py): RTS on for 100 ms while DTR is off.
ESP_BRIDGE: Final = Profile(
    "esp-bridge",
    dtr=False,
    rts=False,
    hang_up=False,
    reset_lines=(LineStep(dtr=False, rts=True, seconds=0.1), LineStep(dtr=False, rts=False, seconds=0.0)),
)

# DTR on, since TinyUSB's console is silent without it. RTS on too: DTR alone arms the download mode, until both are
# off, and so does every way of setting the two one after the other. Hence both off before the pulse, as in esptool's
# USBJTAGSerialReset, which arms it on purpose; HardReset waits 200 ms on such ports.
ESP_USB: Final = Profile(
    "esp-usb",
    dtr=True,
    rts=True,
    reset_lines=(
        LineStep(dtr=False, rts=False, seconds=0.1),
        LineStep(dtr=False, rts=True, seconds=0.2),
        LineStep(dtr=False, rts=False, seconds=0.2),
        LineStep(dtr=True, rts=True, seconds=0.0),
    ),
)

# No line restarts these: opening them at 1200 baud, as some tools do, starts their bootloader instead.
CDC: Final = Profile("cdc", dtr=True)

_BY_NAME: Final = {profile.name: profile for profile in (GENERIC, ESP_BRIDGE, ESP_USB, CDC)}

_RASPBERRY_PI = 0x2E8A
_BY_NUMBERS: Final[dict[tuple[int, int | None], Profile]] = {
    # Bridges, with the drivers that know them: linux drivers/usb/serial/{cp210x,ch341,ftdi_sio}.c, class/cdc-acm.c.
    # Behind them there may be other chips than Espressif's; lines that are off harm none that runs MicroPython.
    (0x10C4, 0xEA60): ESP_BRIDGE,  # CP210x
    (0x10C4, 0xEA70): ESP_BRIDGE,  # CP2105, two ports
    (0x1A86, 0x7522): ESP_BRIDGE,  # CH340K
    (0x1A86, 0x7523): ESP_BRIDGE,  # CH340
    (0x1A86, 0x55D3): ESP_BRIDGE,  # CH343
    (0x1A86, 0x55D4): ESP_BRIDGE,  # CH9102
    (0x0403, 0x6001): ESP_BRIDGE,  # FT232R
    (0x0403, 0x6010): ESP_BRIDGE,  # FT2232: the ESP-Prog, and kits with JTAG
    (0x0403, 0x6014): ESP_BRIDGE,  # FT232H
    (0x0403, 0x6015): ESP_BRIDGE,  # FT-X
    (0x303A, ANY): ESP_USB,  # Espressif: 4001 by TinyUSB, 1001 USB-Serial/JTAG
    # Native USB. As in usb_ids; the last two are STM32's own number and the Teensy's (ports/mimxrt/boards).
    (_RASPBERRY_PI, ANY): CDC,
    (0xF055, ANY): CDC,  # pyboard, mimxrt, SAMD, nRF and Renesas of MicroPython's own
    (0x239A, ANY): CDC,  # Adafruit
    (0x0D28, 0x0204): CDC,  # micro:bit, DAPLink
    (0x2341, ANY): CDC,  # Arduino: Nano RP2040, Portenta, Giga, Nano 33 BLE
    (0x0483, 0x5740): CDC,
    (0x16C0, 0x0483): CDC,
}


def find(port: str, comports: Comports | None = None) -> Profile:
    """The profile of the board behind ``port``, told from its USB numbers; `GENERIC` where there are none.

    Nothing is opened. Local ports are looked up in what the system keeps (sysfs on Linux), which may block for a
    moment; ``usb:VID:PID`` says its numbers itself. Over a network nobody knows: name a profile there.
    """
    named = _USB.fullmatch(port)
    if named is not None:
        return by_numbers(int(named[1], 16), int(named[2], 16))
    device = describe(port, comports)
    return GENERIC if device is None else by_numbers(device.vid, device.pid)


def by_numbers(vid: int | None, pid: int | None) -> Profile:
    """The profile for USB vendor and product numbers."""
    if vid is None:
        return GENERIC
    return _BY_NUMBERS.get((vid, pid)) or _BY_NUMBERS.get((vid, ANY)) or GENERIC


def named(name: str) -> Profile:
    """The profile of that name. Raises `SettingsError` with the nearest right one."""
    check_profile(name)
    return _BY_NAME[name]
