"""Tests of the driver, on whatever board there is. Those without ``bench`` need nothing but the board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from belay_py import ExecutionError

if TYPE_CHECKING:
    from belay_py.sync import DeviceSession

    from .conftest import Bench

pytestmark = pytest.mark.belay_board(caps={"machine.ADC"})


@pytest.mark.parametrize(("raw", "percent"), [(65535, 0), (52000, 0), (36500, 50), (21000, 100), (0, 100)])
def test_calibration(sensor: DeviceSession, raw: int, percent: float) -> None:
    assert sensor.evaluate(f"sensor.percent({raw})") == percent


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raws=st.lists(st.integers(0, 65535), min_size=2))
def test_what_reads_lower_is_wetter(sensor: DeviceSession, raws: list[int]) -> None:
    moistures = sensor.evaluate(f"[sensor.percent(raw) for raw in {sorted(raws)}]", returns=list[float])
    assert moistures == sorted(moistures, reverse=True)
    assert all(0 <= moisture <= 100 for moisture in moistures)


def test_the_alarm_does_not_flutter(sensor: DeviceSession) -> None:
    sensor.execute("alarm = Hysteresis(30, 40)")
    states = sensor.evaluate("[alarm.update(value) for value in (35, 29, 35, 40, 41, 35, 30, 29)]")
    assert states == [False, True, True, True, False, False, False, True]


@pytest.mark.parametrize(("raw", "percent"), [(65535, 0), (36500, 50), (0, 100)])
def test_moisture(sensor: DeviceSession, bench: Bench, raw: int, percent: float) -> None:
    bench.set_level(raw)
    assert sensor.evaluate("sensor.moisture()") == pytest.approx(percent, abs=2)  # a converter's error


def test_it_asks_for_water_until_there_is_enough(sensor: DeviceSession, bench: Bench) -> None:
    bench.set_level(65535)
    assert sensor.evaluate("sensor.needs_water()") is True
    bench.set_level(0)
    assert sensor.evaluate("sensor.needs_water()") is False


def test_a_probe_that_is_not_there(sensor: DeviceSession) -> None:
    sensor.execute("absent = SoilSensor(26, 14, ready=22)")  # a pin that nothing is wired to
    with pytest.raises(ExecutionError, match="is it plugged in") as caught:
        sensor.evaluate("absent.moisture()")
    assert caught.value.type == "NotReady"
    assert caught.value.frames[-1].file.endswith("soil_sensor.py")
    assert "in read\n" in caught.value.traceback
    assert sensor.evaluate("Pin(14).value()") == 0  # and the driver has switched the power off


@pytest.mark.belay_board(virtual=False)
def test_a_level_at_rest_is_read_at_rest(sensor: DeviceSession, bench: Bench) -> None:
    bench.set_level(0)
    readings = sensor.evaluate("[sensor.read(samples=1) for _ in range(50)]", returns=list[int])
    assert max(readings) - min(readings) < 1000
