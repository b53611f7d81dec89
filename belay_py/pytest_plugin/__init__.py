"""The pytest plugin: boards as fixtures. pytest loads it by its entry point, ``belay``.

It is loaded by every pytest of an environment that has belay_py in it, so what is here imports nothing that pytest has
not loaded already; a session, a manager or a virtual board is imported by the first test that asks for one.
"""

from __future__ import annotations

import pytest

from belay_py.pytest_plugin.asynchronous import fixtures_for
from belay_py.pytest_plugin.fixtures import board, board_files, board_manager, boards, virtual_board
from belay_py.pytest_plugin.options import add_options, choices

__all__ = ["board", "board_files", "board_manager", "boards", "virtual_board"]

_MARKER = (
    "belay_board(caps=(), tags=(), implementation=None, virtual=None, count=None, reset='soft'): what the test needs "
    "of its board; it is skipped where there is none (belay_py)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--belay-port`` and the like."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and give ``async_board`` to whichever plugin runs asynchronous tests."""
    choices(config)  # what is wrong is said once, before any test
    config.addinivalue_line("markers", _MARKER)
    config.pluginmanager.register(fixtures_for(config.pluginmanager), "belay-async")


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With ``-n auto``: as many workers as boards are named. None, so pytest-xdist's own number, where none is."""
    from belay_py.pytest_plugin.candidates import named_count  # noqa: PLC0415  only with -n auto

    return named_count(config)
