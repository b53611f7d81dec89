"""A wire's end, as the board has it."""

from __future__ import annotations

import select
import socket

import pytest

from belay_py.virtual.wire import Wire


@pytest.mark.skipif(not hasattr(select, "poll"), reason="needs poll")
def test_it_knows_that_the_other_end_is_gone() -> None:
    here, there = socket.socketpair()
    wire = Wire(here.detach(), "a test")
    assert not wire.other_end_is_gone()
    there.close()
    assert wire.other_end_is_gone()
    wire.close()


@pytest.mark.skipif(not hasattr(select, "poll"), reason="needs poll")
def test_what_its_reader_has_just_closed_keeps_nobody_out() -> None:
    here, there = socket.socketpair()
    wire = Wire(here.detach(), "a test")
    there.close()
    wire.close()  # as the thread that reads it does then, perhaps in this moment
    assert wire.other_end_is_gone()
