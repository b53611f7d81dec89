"""A folder of its own for each test, and an environment without variables of ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from belay_py import SettingsError, load_settings

if TYPE_CHECKING:
    from pathlib import Path

Refused: TypeAlias = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    for variable in [name for name in os.environ if name.upper().startswith("BELAY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Load settings that are wrong; give the lines of the error."""

    def load(text: str = "", environ: dict[str, str] | None = None, **values: Any) -> list[str]:
        (folder / "belay.toml").write_text(text, encoding="utf-8")
        for variable, value in (environ or {}).items():
            monkeypatch.setenv(variable, value)
        with pytest.raises(SettingsError) as refusal:
            load_settings(**values)
        assert refusal.value.__context__ is None  # a traceback shows nothing of pydantic's
        return str(refusal.value).splitlines()

    return load
