"""What happens to bytes that come faster than the program takes them."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from belay_py.virtual.glue import RingField, ring_mask
from belay_py.virtual.memory import Memory
from belay_py.virtual.ring import Ring

from .conftest import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.virtual import BoardProcess


def make_ring(capacity: int) -> tuple[Ring, object]:
    import ctypes

    store = ctypes.create_string_buffer(Ring.size(capacity) + 8)
    return Ring(Memory(ctypes.addressof(store)), 0, capacity), store


@given(
    capacity=st.integers(2, 300),
    steps=st.lists(st.one_of(st.binary(max_size=400), st.integers(0, 400), st.just("flush")), max_size=60),
)
def test_a_ring_is_a_bounded_queue(capacity: int, steps: list[bytes | int | str]) -> None:
    ring, _keep = make_ring(capacity)
    model = b""
    for step in steps:
        if isinstance(step, bytes):
            taken = ring.put(step)
            assert taken == min(len(step), capacity - len(model))
            model += step[:taken]
        elif isinstance(step, int):
            assert ring.take(step) == model[:step]
            model = model[step:]
        else:
            ring.flush()
            model = b""
        assert ring.pending == len(model)
        assert ring.room == capacity - len(model)


def test_indices_wrap() -> None:
    ring, _keep = make_ring(260)
    for word in (ring._written, ring._read, ring._flushed):
        word.value = 0xFFFFFFFF - 100
    data = os.urandom(260)
    assert ring.put(data) == 260
    assert ring.take(150) == data[:150]
    ring.flush()
    assert ring.pending == 0
    assert RingField.DATA + ring_mask(260) + 1 == Ring.size(260)


def test_the_uart_keeps_exactly_the_ring(make_board: Callable[..., BoardProcess]) -> None:
    for ring in (260, 400):
        with make_board(overrun="drop", ring=ring).open_wire() as end:
            repl = Client(end)
            repl.enter_raw()
            repl.send(
                b"import time,sys,select\np=select.poll()\np.register(sys.stdin,1)\nprint('READY')\n"
                b"time.sleep(.3)\nn=0\nwhile p.poll(100): n+=len(sys.stdin.buffer.read(1))\nprint(n)\x04"
            )
            repl.read_until(b"READY\r\n")
            repl.send(b"y" * 1000)
            assert repl.read_until(b"\x04>") == b"%d\r\n\x04\x04>" % ring


def test_usb_stalls_the_sender_and_loses_nothing(repl: Client) -> None:
    repl.send(
        b"import sys,micropython,time\nmicropython.kbd_intr(-1)\nprint('READY')\ntime.sleep(.1)\n"
        b"h=0\nfor _ in range(1000):\n for c in sys.stdin.buffer.read(64): h=(h*31+c)&0xffffff\n"
        b"micropython.kbd_intr(3)\nprint(h)\x04"
    )
    repl.read_until(b"READY\r\n")
    data = random.Random(1).randbytes(64_000)
    sender = threading.Thread(target=repl.send, args=(data,))
    sender.start()
    expected = 0
    for byte in data:
        expected = (expected * 31 + byte) & 0xFFFFFF
    assert repl.read_until(b"\x04>") == b"%d\r\n\x04\x04>" % expected
    sender.join()


def test_a_stalled_sender_blocks_until_the_program_reads(repl: Client) -> None:
    repl.send(b"import sys\nprint('READY')\nwhile True: pass\x04")
    repl.read_until(b"READY\r\n")
    repl.socket.settimeout(0.1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 1_000_000:
            sent += repl.socket.send(b"y" * 4096)
    assert sent < 100_000
    repl.socket.settimeout(20)


def test_ignoring_the_credits_on_a_uart_loses_code(make_board: Callable[..., BoardProcess]) -> None:
    with make_board(overrun="drop").open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        # The first byte of a program decides how busy the board is when the rest comes: one burst, as from DMA.
        repl.send(b"import time\ntime.sleep(.2)\x04" + b"\x05A\x01x='" + b"y" * 5000 + b"'\nprint(len(x))\x04")
        repl.read_until(b"\x04>")
        repl.read_until(b"R\x01")
        repl.send(b"\x04")
        assert b"5000" not in repl.read_until(b"\x04>")


def test_plain_raw_mode_has_no_window(repl: Client) -> None:
    code = b"x='" + b"y" * 20_000 + b"'\nprint(len(x))\x04"
    sender = threading.Thread(target=repl.send, args=(code,))
    sender.start()
    assert repl.read_until(b"\x04>") == b"OK20000\r\n\x04\x04>"
    sender.join()


def test_type_ahead_survives_a_soft_reset(repl: Client) -> None:
    repl.send(b"raise SystemExit\x04print('ahead')\x04")
    assert repl.read_until(b"ahead\r\n\x04\x04>") == (
        b"OK\x04\x04MPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>OKahead\r\n\x04\x04>"
    )


def test_a_wire_is_small_like_a_drivers_buffer(shared_board: BoardProcess) -> None:
    with shared_board.open_wire() as end:
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 65536
