"""The pinned binary and what we change in it: each index and address does what `firmware` says."""

from __future__ import annotations

import hashlib

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from belay_py.virtual import artifact, firmware, glue
from belay_py.virtual.wasm_patch import forward_to_table, leb, patch, sleb, unleb

SMALL = """(module
  (import "env" "i" (func (param i32)))
  (type $one (func (param i32) (result i32)))
  (table (export "t") 1 1 funcref)
  (func $f (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $g (param i32) (result i32) (i32.mul (local.get 0) (i32.const 10))))"""


@given(st.integers(0, 2**32))
def test_leb(value: int) -> None:
    assert unleb(leb(value), 0) == (value, len(leb(value)))


@pytest.mark.parametrize(("value", "encoded"), [(0, "00"), (63, "3f"), (64, "c000"), (770, "8206"), (-1, "7f")])
def test_sleb(value: int, encoded: str) -> None:
    assert sleb(value).hex() == encoded


def test_patching_exports_lengthens_and_redirects() -> None:
    # The types: 0 is the import's, 1 is $one. Functions: 0 is the import, 1 is $f, 2 is $g.
    raw = bytes(wasmtime.wat2wasm(SMALL))
    changed = patch(raw, exports={"g": 2}, bodies={1: forward_to_table(1, 0, 1)}, imported=1, table_size=2)
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    nothing = wasmtime.Func(store, wasmtime.FuncType([wasmtime.ValType.i32()], []), lambda _: None)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, changed), [nothing]).exports(store)
    table, f = exports["t"], exports["f"]
    assert isinstance(table, wasmtime.Table)
    assert isinstance(f, wasmtime.Func)
    table.set(store, 1, exports["g"])
    assert f(store, 7) == 70


def test_patching_nothing_changes_nothing() -> None:
    binary = artifact.load()
    size = firmware.TABLE_SIZE
    assert patch(binary, exports={}, bodies={}, imported=firmware.IMPORTED_FUNCTIONS, table_size=size) == binary


def test_the_binary_is_the_pinned_one_and_stays_valid() -> None:
    binary = artifact.load()
    assert hashlib.sha256(binary).hexdigest() == firmware.SHA256
    config = wasmtime.Config()
    config.wasm_exceptions = True
    engine = wasmtime.Engine(config)
    wasmtime.Module.validate(engine, firmware.patched(binary))
    imports = wasmtime.Module(engine, binary).imports
    functions = [item.name for item in imports if isinstance(item.type, wasmtime.FuncType)]
    assert len(functions) == firmware.IMPORTED_FUNCTIONS
    assert {name.removeprefix("invoke_") for name in functions if name and name.startswith("invoke_")} == set(
        glue.INVOKED
    )


def test_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not a wasm module"):
        firmware.patched(b"\x7fELF----")
