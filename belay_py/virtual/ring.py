"""The receive ring, seen from the host: a UART's or USB port's buffer, in the board's own memory.

One writer, the thread that reads the wire; one reader, the board's thread, which is in WebAssembly most of the time
(`glue.console`). Neither takes a lock: each owns its index. What the writer drops, it marks with `FLUSHED`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from belay_py.virtual.glue import RingField, ring_mask

if TYPE_CHECKING:
    from belay_py.virtual.memory import Memory

_WRAP = 0xFFFFFFFF


class Ring:
    """A ring of at most `capacity` bytes at `address`."""

    def __init__(self, memory: Memory, address: int, capacity: int) -> None:
        self.capacity = capacity
        self._memory = memory
        self._mask = ring_mask(capacity)
        self._data = address + RingField.DATA
        memory.write(address, bytes(RingField.DATA))
        self._written = memory.word(address + RingField.WRITTEN)
        self._read = memory.word(address + RingField.READ)
        self._flushed = memory.word(address + RingField.FLUSHED)
        self._stalled = memory.word(address + RingField.STALLED)

    @staticmethod
    def size(capacity: int) -> int:
        """Tell how many bytes of the board's memory a ring of `capacity` takes."""
        return RingField.DATA + ring_mask(capacity) + 1

    def _start(self) -> int:
        read, flushed = self._read.value, self._flushed.value
        behind = (flushed - read) & _WRAP
        return flushed if 0 < behind < 1 << 31 else read

    @property
    def pending(self) -> int:
        """How many bytes wait to be read."""
        return (self._written.value - self._start()) & _WRAP

    @property
    def room(self) -> int:
        """How many bytes fit."""
        return self.capacity - self.pending

    def put(self, data: bytes) -> int:
        """Queue what fits, and tell how many bytes that was. The writer's side."""
        taken = min(len(data), self.room)
        written = self._written.value
        self._copy_in(written, data[:taken])
        # Only now may the reader see the bytes.
        self._written.value = written + taken
        return taken

    def _copy_in(self, index: int, data: bytes) -> None:
        offset = index & self._mask
        first = min(len(data), self._mask + 1 - offset)
        self._memory.write(self._data + offset, data[:first])
        self._memory.write(self._data, data[first:])

    def flush(self) -> None:
        """Drop what is queued. The writer's side."""
        self._flushed.value = self._written.value

    def stall(self) -> None:
        """Ask the reader to tell when there is room again. The writer's side."""
        self._stalled.value = 1

    def resume(self) -> None:
        """Take `stall` back."""
        self._stalled.value = 0

    @property
    def stalled(self) -> bool:
        """Whether the writer waits for room."""
        return bool(self._stalled.value)

    def take(self, most: int) -> bytes:
        """Give up to `most` queued bytes. The reader's side, for reads that end in the host."""
        start = self._start()
        count = min(most, (self._written.value - start) & _WRAP)
        offset = start & self._mask
        first = min(count, self._mask + 1 - offset)
        data = self._memory.read(self._data + offset, first) + self._memory.read(self._data, count - first)
        self._read.value = start + count
        return data
