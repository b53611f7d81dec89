"""What C would have to bring along itself, in WebAssembly text: setjmp, and the board's half of the console.

Two modules, because the first must exist before MicroPython does and the second needs it:

- `SETJMP`: Emscripten's ``invoke_*`` and ``_emscripten_throw_longjmp`` by WebAssembly exceptions, so that a MicroPython
  exception crosses no Python frame.
- `console`: a port's ``mp_hal_stdin_rx_chr`` over a receive ring in linear memory, which the host's reader thread fills
  as an interrupt handler does; and with it the functions that this port left out because a browser cannot block.
"""

from __future__ import annotations

from belay_py.virtual import firmware as fw

INVOKED = ("ii", "iiii", "v", "viii", "iiiii", "iii", "vi", "vii", "i", "viiii", "iiiiii")
"""The signatures of the binary's ``invoke_*`` imports: the result, then the arguments."""

HOST_FUNCTIONS = ("wait_input", "wait_event", "drained", "delay", "ticks_us")
"""What the console module imports from the host."""


class RingField:
    """Offsets in the ring's header; all fields are 32-bit. Indices count bytes since the start and wrap at 2**32."""

    WRITTEN = 0
    READ = 4
    FLUSHED = 8  # the reader skips to here: how the writer drops what is queued without touching READ
    STALLED = 12  # the writer waits for room and wants `drained` called
    WINDOW = 16
    PASTE = 20
    HEAP = 24
    DATA = 32


class Paste:
    """How the board answers an attempt at raw-paste."""

    ON, REFUSED, ABSENT = 0, 1, 2


def _invoke(signature: str) -> str:
    result = "(result i32)" if signature[0] == "i" else ""
    count = len(signature) - 1
    arguments = "(param" + " i32" * count + ")" if count else ""
    pushed = " ".join(f"(local.get {n + 1})" for n in range(count))
    nothing = "(i32.const 0)" if result else ""
    return f"""
    (type $t_{signature} (func {arguments} {result}))
    (func (export "invoke_{signature}") (param i32) {arguments} {result} (local $stack i32)
      (local.set $stack (call_indirect $helpers (type $stack_get) (i32.const 0)))
      (block $jumped
        (try_table {result} (catch $longjmp $jumped)
          (call_indirect $functions (type $t_{signature}) {pushed} (local.get 0)))
        (return))
      (call_indirect $helpers (type $stack_set) (local.get $stack) (i32.const 1))
      (call_indirect $helpers (type $set_threw) (i32.const 1) (i32.const 0) (i32.const 2))
      {nothing})"""


SETJMP = f"""
(module
  (tag $longjmp)
  (table $functions (export "functions") {fw.PATCHED_TABLE_SIZE} funcref)
  (table $helpers (export "helpers") 3 funcref)
  (type $stack_get (func (result i32)))
  (type $stack_set (func (param i32)))
  (type $set_threw (func (param i32 i32)))
  (func (export "_emscripten_throw_longjmp") (throw $longjmp))
  {"".join(map(_invoke, INVOKED))})
"""

_CTRL_A, _CTRL_C, _CTRL_D, _CTRL_E = 1, 3, 4, 5


def console(capacity: int) -> str:
    """Build the text of the console module for a ring of at most `capacity` bytes."""
    return f"""
(module
  (import "mp" "memory" (memory 0))
  (import "mp" "__indirect_function_table" (table $mp {fw.PATCHED_TABLE_SIZE} funcref))
  (import "setjmp" "functions" (table $functions {fw.PATCHED_TABLE_SIZE} funcref))
  (import "setjmp" "helpers" (table $helpers 3 funcref))
  (import "mp" "emscripten_stack_get_current" (func $stack_get (result i32)))
  (import "mp" "_emscripten_stack_restore" (func $stack_set (param i32)))
  (import "mp" "setThrew" (func $set_threw (param i32 i32)))
  (import "mp" "mp_js_repl_process_char" (func $process_char (param i32) (result i32)))
  (import "mp" "mp_handle_pending" (func $handle_pending (param i32)))
  (import "mp" "nlr_raise" (func $nlr_raise (param i32)))
  (import "mp" "mp_hal_stdout_tx_strn" (func $tx (param i32 i32) (result i32)))
  (import "mp" "readline_init" (func $readline_init (param i32 i32)))
  (import "mp" "readline_process_char" (func $readline_char (param i32) (result i32)))
  (import "host" "wait_input" (func $wait_input (result i32)))
  (import "host" "wait_event" (func $wait_event (param i32)))
  (import "host" "drained" (func $drained))
  (import "host" "delay" (func $delay (param i64)))
  (import "host" "ticks_us" (func $ticks_us (result i32)))
  (global $ring (mut i32) (i32.const 0))

  (func $setup (export "setup") (param $ring i32)
    (global.set $ring (local.get $ring))
    (table.set $helpers (i32.const 0) (ref.func $stack_get))
    (table.set $helpers (i32.const 1) (ref.func $stack_set))
    (table.set $helpers (i32.const 2) (ref.func $set_threw))
    (table.set $mp (i32.const {fw.SLOT_READER_READBYTE}) (ref.func $reader_readbyte))
    (table.set $mp (i32.const {fw.SLOT_READER_CLOSE}) (ref.func $reader_close))
    (table.set $mp (i32.const {fw.SLOT_READLINE}) (ref.func $readline))
    (table.set $mp (i32.const {fw.SLOT_DELAY_MS}) (ref.func $delay_ms))
    (table.set $mp (i32.const {fw.SLOT_DELAY_US}) (ref.func $delay_us))
    (table.set $mp (i32.const {fw.SLOT_TICKS_US}) (ref.func $ticks_us))
    (table.set $mp (i32.const {fw.SLOT_WAIT_FOREVER}) (ref.func $wait_forever))
    (table.set $mp (i32.const {fw.SLOT_WAIT_MS}) (ref.func $wait_ms))
    (table.set $mp (i32.const {fw.SLOT_HEAP_LEFT}) (ref.func $heap_left))
    (table.copy $functions $mp (i32.const 0) (i32.const 0) (i32.const {fw.PATCHED_TABLE_SIZE})))
  (elem declare func $stack_get $stack_set $set_threw $reader_readbyte $reader_close $readline $delay_ms $delay_us
    $ticks_us $wait_forever $wait_ms $heap_left)

  ;; mp_hal_stdin_rx_chr: the next byte, blocking. While Ctrl-C is armed it comes as an exception, as on boards.
  (func $rx (result i32) (local $read i32) (local $flushed i32) (local $byte i32)
    (loop $again (result i32)
      (local.set $read (i32.load offset={RingField.READ} (global.get $ring)))
      (local.set $flushed (i32.load offset={RingField.FLUSHED} (global.get $ring)))
      (if (i32.gt_s (i32.sub (local.get $flushed) (local.get $read)) (i32.const 0))
        (then (local.set $read (local.get $flushed))
              (i32.store offset={RingField.READ} (global.get $ring) (local.get $read))))
      (if (result i32) (i32.eq (local.get $read) (i32.atomic.load offset={RingField.WRITTEN} (global.get $ring)))
        (then
          (if (call $wait_input) (then (call $handle_pending (i32.const 1))))
          (br $again))
        (else
          (local.set $byte (i32.load8_u offset={RingField.DATA} (i32.add (global.get $ring)
            (i32.and (local.get $read) (i32.const {ring_mask(capacity)})))))
          (i32.store offset={RingField.READ} (global.get $ring) (i32.add (local.get $read) (i32.const 1)))
          ;; a stalled sender is woken for half a ring, not for each byte
          (if (i32.load offset={RingField.STALLED} (global.get $ring))
            (then (if (i32.le_u (i32.sub (i32.load offset={RingField.WRITTEN} (global.get $ring)) (local.get $read))
                                (i32.const {max(capacity // 2, 1)}))
              (then (call $drained)))))
          (local.get $byte)))))

  ;; mp_reader_stdin_readbyte, on a mp_reader_stdin_t of {{eof: u8, pad, window_max: u16, window_remain: u16}}
  (func $reader_readbyte (param $reader i32) (result i32) (local $byte i32) (local $left i32)
    (if (i32.load8_u (local.get $reader)) (then (return (i32.const -1))))
    (if (i32.ne (i32.load16_u offset=2 (local.get $reader)) (i32.load offset={RingField.WINDOW} (global.get $ring)))
      (then
        (i32.store16 offset=2 (local.get $reader) (i32.load offset={RingField.WINDOW} (global.get $ring)))
        (i32.store16 offset=4 (local.get $reader) (i32.load offset={RingField.WINDOW} (global.get $ring)))))
    (local.set $byte (call $rx))
    (if (call $is_end (local.get $byte))
      (then
        (i32.store8 (local.get $reader) (i32.const 1))
        (call $send (i32.const {_CTRL_D}))
        (if (i32.eq (local.get $byte) (i32.const {_CTRL_C}))
          (then
            (i32.store (i32.const {fw.KBD_TRACEBACK}) (i32.const 0))
            (call $nlr_raise (i32.const {fw.KBD_EXCEPTION}))))
        (return (i32.const -1))))
    (local.set $left (i32.sub (i32.load16_u offset=4 (local.get $reader)) (i32.const 1)))
    (if (i32.eqz (local.get $left))
      (then
        (call $send (i32.const {_CTRL_A}))
        (local.set $left (i32.load16_u offset=2 (local.get $reader)))))
    (i32.store16 offset=4 (local.get $reader) (local.get $left))
    (local.get $byte))

  ;; mp_reader_stdin_close: what the lexer left unread after a syntax error is eaten up to its end
  (func $reader_close (param $reader i32)
    (if (i32.load8_u (local.get $reader)) (then (return)))
    (i32.store8 (local.get $reader) (i32.const 1))
    (call $send (i32.const {_CTRL_D}))
    (loop $eat (br_if $eat (i32.eqz (call $is_end (call $rx))))))

  (func $is_end (param $byte i32) (result i32)
    (i32.or (i32.eq (local.get $byte) (i32.const {_CTRL_C})) (i32.eq (local.get $byte) (i32.const {_CTRL_D}))))

  ;; the byte passes through the header's spare word
  (func $send (param $byte i32)
    (i32.store8 offset=28 (global.get $ring) (local.get $byte))
    (drop (call $tx (i32.add (global.get $ring) (i32.const 28)) (i32.const 1))))

  (func $readline (param $line i32) (param $prompt i32) (result i32) (local $end i32)
    (call $readline_init (local.get $line) (local.get $prompt))
    (loop $more
      (br_if $more (i32.lt_s (local.tee $end (call $readline_char (call $rx))) (i32.const 0))))
    (local.get $end))

  (func $delay_ms (param $ms i32) (call $delay (i64.mul (i64.extend_i32_u (local.get $ms)) (i64.const 1000))))
  (func $delay_us (param $us i32) (call $delay (i64.extend_i32_u (local.get $us))))
  (func $wait_forever (call $wait_ms (i32.const -1)))
  (func $wait_ms (param $ms i32)
    (call $handle_pending (i32.const 1))
    (call $wait_event (local.get $ms)))

  ;; gc_get_max_new_split: the whole heap is there from the start
  (func $heap_left (result i32) (i32.const 0))

  ;; the REPL, until it asks for a soft reset
  (func (export "repl") (result i32) (local $byte i32) (local $exit i32)
    (loop $more
      (local.set $byte (call $rx))
      (if (i32.and (i32.eq (local.get $byte) (i32.const {_CTRL_A}))
                   (i32.ne (i32.load offset={RingField.PASTE} (global.get $ring)) (i32.const {Paste.ON})))
        (then (call $deny_paste)))
      ;; C collects after an execution only if that asked for it; with a heap half full it must, or the next one fails
      (if (i32.lt_u (local.get $byte) (i32.const 32))
        (then (if (i32.gt_u (i32.load (i32.const {fw.LAST_USED_BLOCK}))
                            (i32.shr_u (i32.load offset={RingField.HEAP} (global.get $ring)) (i32.const 5)))
          (then (i32.store8 (i32.const {fw.GC_PENDING}) (i32.const 1))))))
      (br_if $more (i32.eqz (local.tee $exit (call $process_char (local.get $byte))))))
    (local.get $exit))

  ;; before C sees the Ctrl-A of Ctrl-E, A, Ctrl-A: refused is what it answers to any letter but A; firmware from before
  ;; raw-paste takes the Ctrl-A alone
  (func $deny_paste (local $line i32) (local $text i32)
    (local.set $line (i32.load (i32.const {fw.REPL_LINE})))
    (local.set $text (i32.load offset=8 (local.get $line)))
    (if (i32.ne (i32.load (i32.const {fw.REPL_MODE})) (i32.const {fw.RAW_REPL})) (then (return)))
    (if (i32.ne (i32.load offset=4 (local.get $line)) (i32.const 2)) (then (return)))
    (if (i32.ne (i32.load8_u (local.get $text)) (i32.const {_CTRL_E})) (then (return)))
    (if (i32.eq (i32.load offset={RingField.PASTE} (global.get $ring)) (i32.const {Paste.REFUSED}))
      (then (i32.store8 offset=1 (local.get $text) (i32.const 66)))
      (else (i32.store offset=4 (local.get $line) (i32.const 0))))))
"""


def ring_mask(capacity: int) -> int:
    """Give the mask that turns an index into an offset: the buffer is the next power of two."""
    return (1 << max(capacity - 1, 1).bit_length()) - 1
