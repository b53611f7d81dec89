"""The one MicroPython binary that the virtual board runs, and where things are inside it.

Every index and address below holds for the binary with this `SHA256` and for no other; `artifact.load` lets no other
through. They were read from its disassembly (``wasm2wat``) next to MicroPython's source at the same version.

The webassembly port is made to live in a browser: its ``mp_hal_stdin_rx_chr()`` is the constant 0, its delays spin, and
its heap grows without a limit. `patched` turns the C functions that show this into calls through the function table,
where `glue` puts ours; MicroPython's own REPL, line editor, lexer and raw-paste reader then run as on a board.
"""

from __future__ import annotations

from belay_py.virtual.wasm_patch import forward_to_table, patch

PACKAGE = "@micropython/micropython-webassembly-pyscript"
VERSION = "1.29.0-6"
MEMBER = "package/micropython.wasm"
SHA256 = "d5913c9327072e71d3e7a2e9384ea326f7d784bcc2f50a01b602c52bd2bdcafd"

IMPORTED_FUNCTIONS = 61
TABLE_SIZE = 770

# mp_state_ctx is at 188108: mp_sched_keyboard_interrupt stores there, at +40, the address of mp_kbd_exception (+68),
# clears its traceback (+76), and turns sched_state (+264, 16 bits) from idle, 1, to pending, 0.
KBD_EXCEPTION = 188176
KBD_TRACEBACK = 188184
PENDING_EXCEPTION = 188148
SCHED_STATE = 188372
SCHED_IDLE, SCHED_PENDING = 1, 0
# mp_hal_get_interrupt_char loads this; -1 when Ctrl-C is an ordinary byte.
INTERRUPT_CHAR = 181856
# pyexec_event_repl_process_char compares this with 1, PYEXEC_MODE_RAW_REPL.
REPL_MODE = 189108
RAW_REPL = 1
# The root pointer repl_line (mp_state_ctx + 244), a vstr_t of {alloc, len, buf}.
REPL_LINE = 188352
# The heap area (mp_state_ctx + 396): {next, table, table length, finalisers, weak references, start, end, last free,
# last used block of 16 bytes}; gc_init stores there.
LAST_USED_BLOCK = 188504 + 32
# gc_collect sets this byte, and mp_js_repl_process_char collects at its end if it is set.
GC_PENDING = 189148
# The objects {type, fd} behind sys.stdin, stdout, stderr and their .buffer, in the initialised data at 181808.
TEXT_FILES = (181836, 181844, 181852)
BUFFER_FILES = (181812, 181820, 181828)

# parse_compile_execute(source, input_kind, exec_flags); 32 is EXEC_FLAG_SOURCE_IS_FILENAME. Results: PYEXEC_*.
FILE_INPUT, SOURCE_IS_FILENAME = 1, 32
FORCED_EXIT, NORMAL_EXIT = 0x100, 1

_EXPORTS = {
    "parse_compile_execute": 1300,  # pyexec_event_repl_process_char's callees call it with flags 65, 17 and 22
    "mp_handle_pending": 439,  # clears PENDING_EXCEPTION and raises it when its argument is 1
    "nlr_raise": 67,  # mp_handle_pending's tail call
    "mp_hal_stdout_tx_strn": 1333,  # write(1, ...)
    "readline_init": 1307,  # readline's first call
    "readline_process_char": 1302,  # readline's other call, in its loop
}

# Slots after the table's own entries, for functions that C calls directly.
SLOT_READLINE = 770
SLOT_DELAY_MS = 771
SLOT_DELAY_US = 772
SLOT_TICKS_US = 773
SLOT_WAIT_FOREVER = 774
SLOT_WAIT_MS = 775
SLOT_HEAP_LEFT = 776
PATCHED_TABLE_SIZE = 777

# Slots of the table's own that we take over: do_reader_stdin stores 722 and 721 in its mp_reader_t.
SLOT_READER_CLOSE = 721
SLOT_READER_READBYTE = 722

_TYPE_I32_TO_NONE, _TYPE_I32_I32_TO_I32, _TYPE_NONE_TO_I32, _TYPE_NONE = 0, 5, 8, 20

_BODIES = {
    1308: forward_to_table(SLOT_READLINE, _TYPE_I32_I32_TO_I32, 2),  # readline(line, prompt), for input()
    1334: forward_to_table(SLOT_DELAY_MS, _TYPE_I32_TO_NONE, 1),  # mp_hal_delay_ms, a spin on the clock
    1336: forward_to_table(SLOT_DELAY_US, _TYPE_I32_TO_NONE, 1),  # mp_hal_delay_us, the same
    1337: forward_to_table(SLOT_TICKS_US, _TYPE_NONE_TO_I32, 0),  # mp_hal_ticks_us, milliseconds times 1000
    441: forward_to_table(SLOT_WAIT_FOREVER, _TYPE_NONE, 0),  # mp_event_wait_indefinite, which did not wait
    442: forward_to_table(SLOT_WAIT_MS, _TYPE_I32_TO_NONE, 1),  # mp_event_wait_ms, which did not wait either
    1323: forward_to_table(SLOT_HEAP_LEFT, _TYPE_NONE_TO_I32, 0),  # gc_get_max_new_split, always 128 MiB
}


def patched(binary: bytes) -> bytes:
    """Give back the binary with the doors that `glue` needs."""
    return patch(binary, exports=_EXPORTS, bodies=_BODIES, imported=IMPORTED_FUNCTIONS, table_size=PATCHED_TABLE_SIZE)
