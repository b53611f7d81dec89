"""A driver for a soil moisture probe, in MicroPython: this file is for the board.

The probe has a supply, which a pin switches; an analogue output, which falls as the soil gets wetter; and a line that
is high when the output has settled.
"""

from time import ticks_diff, ticks_ms  # type: ignore[attr-defined]  # the board's

from machine import ADC, Pin  # type: ignore[import-not-found]  # the board's


class NotReady(Exception):
    """The probe has not settled."""


class Hysteresis:
    """True from when a value falls below ``low`` until it rises above ``high``."""

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high
        self.state = False

    def update(self, value: float) -> bool:
        """Take a value, and say what holds now."""
        if value < self.low:
            self.state = True
        elif value > self.high:
            self.state = False
        return self.state


class SoilSensor:
    """A probe on three pins. ``dry`` and ``wet`` are what it reads in air and in water, of 65535."""

    def __init__(self, adc: int, power: int, ready: int, *, dry: int = 52000, wet: int = 21000) -> None:
        self._adc = ADC(adc)
        self._power = Pin(power, Pin.OUT, value=0)
        self._ready = Pin(ready, Pin.IN, Pin.PULL_DOWN)
        self._thirst = Hysteresis(30, 40)
        self.dry = dry
        self.wet = wet

    def read(self, samples: int = 8, timeout_ms: int = 100) -> int:
        """Give the mean of some readings, of 65535. The probe has power only meanwhile."""
        self._power.on()
        try:
            start = ticks_ms()
            while not self._ready.value():
                if ticks_diff(ticks_ms(), start) > timeout_ms:
                    raise NotReady(f"the probe is not ready after {timeout_ms} ms; is it plugged in?")
            return int(sum(self._adc.read_u16() for _ in range(samples)) // samples)
        finally:
            self._power.off()

    def percent(self, raw: int) -> float:
        """Give the moisture that a reading means: 0 as dry as air, 100 as wet as water."""
        return min(100.0, max(0.0, (self.dry - raw) * 100 / (self.dry - self.wet)))

    def moisture(self) -> float:
        """Measure the moisture, in percent."""
        return self.percent(self.read())

    def needs_water(self) -> bool:
        """Measure, and say whether to water: from below 30 % until above 40 %."""
        return self._thirst.update(self.moisture())
