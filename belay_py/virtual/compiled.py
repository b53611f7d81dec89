"""MicroPython as machine code: compiled once per computer, then read back from the cache."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata

import wasmtime

from belay_py.virtual import artifact, firmware, glue

_STACK = 1 << 20
"""Bytes of host stack. MicroPython guards its own C stack; this must be the larger of the two (at most 2 MiB)."""


@dataclass(frozen=True)
class Compiled:
    """The modules that make up a board, and the engine that they are compiled for."""

    engine: wasmtime.Engine
    micropython: wasmtime.Module
    setjmp: wasmtime.Module
    console: wasmtime.Module


def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_exceptions = True
    config.wasm_threads = True
    # How a board that computes is stopped when its power is cut.
    config.epoch_interruption = True
    config.max_wasm_stack = _STACK
    return wasmtime.Engine(config)


def _cached(engine: wasmtime.Engine, name: str, source: bytes | str) -> wasmtime.Module:
    raw = source.encode() if isinstance(source, str) else source
    # wasmtime itself refuses code of another version or for another processor.
    key = hashlib.sha256(metadata.version("wasmtime").encode() + b"\0" + raw).hexdigest()[:32]
    file = f"{name}-{key}.cwasm"
    stored = artifact.read_cache(file)
    if stored is not None:
        try:
            return wasmtime.Module.deserialize(engine, stored)
        except wasmtime.WasmtimeError:
            pass  # written for another processor or configuration: compile anew
    module = wasmtime.Module(engine, source)
    artifact.write_cache(file, bytes(module.serialize()))
    return module


def load(binary: bytes, ring: int) -> Compiled:
    """Compile, or fetch from the cache, the pinned `binary` and the glue for a ring of `ring` bytes."""
    engine = _engine()
    return Compiled(
        engine,
        _cached(engine, "micropython", firmware.patched(binary)),
        _cached(engine, "setjmp", glue.SETJMP),
        _cached(engine, f"console{ring}", glue.console(ring)),
    )
