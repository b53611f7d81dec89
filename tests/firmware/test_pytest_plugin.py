"""What the fixture ``board`` ends on a chip: the virtual board has neither timers nor threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.pytest_plugin.conftest import entry_point, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pytest_plugin.conftest import Run

__all__ = ["entry_point", "run"]

LEAVING = """
def quiet(board):
    assert board.execute("import time\\ntime.sleep_ms(100)\\nprint('quiet')").output == "quiet\\n"

def test_a_timer(board):
    board.execute("import machine\\ntimer = machine.Timer()")
    board.execute("timer.init(period=10, callback=lambda timer: print('tick'))")
    assert "tick" in board.execute("import time\\ntime.sleep_ms(100)").output

def test_after_a_timer(board):
    quiet(board)

def test_an_interrupt(board):
    board.execute("import machine\\npin = machine.Pin(3, machine.Pin.OUT)")
    board.execute("pin.irq(lambda pin: print('edge'), machine.Pin.IRQ_RISING)")

def test_after_an_interrupt(board):
    board.execute("import machine\\npin = machine.Pin(3, machine.Pin.OUT)\\npin.on()\\npin.off()")
    quiet(board)
"""


def test_timers_and_interrupts_do_not_reach_the_next_test(pico_port: str, run: Callable[..., Run]) -> None:
    ran = run(LEAVING, f"--belay-port={pico_port}")
    assert set(ran.outcomes.values()) == {"passed"}, ran.stdout
    assert len(ran.outcomes) == 4
