"""An application with two boards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI

from belay_py import DeviceSessionManager, DeviceSessionManagerOptions, DeviceSessionOptions
from belay_py.integrations.fastapi import handle_errors, lifespan
from belay_py.virtual import open_board

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[str, str]]:
    """Two virtual boards that the tests of a module share."""
    boards = [open_board("virtual:left-of-a-service"), open_board("virtual:right-of-a-service")]
    yield boards[0].port, boards[1].port
    for board in boards:
        board.close()


class Application:
    """A FastAPI application, and its manager while it runs."""

    def __init__(self, options: DeviceSessionManagerOptions) -> None:
        self.app = FastAPI(lifespan=lifespan(options, prepare=self._keep))
        handle_errors(self.app, details=True)
        self.manager: DeviceSessionManager

    async def _keep(self, manager: DeviceSessionManager) -> None:
        self.manager = manager

    @property
    def held(self) -> int:
        """How many leases are held."""
        return self.manager.statistics().leases_held


@pytest.fixture
def application(ports: tuple[str, str]) -> Application:
    """An application whose boards are ``left`` and ``right``, and ``away``, which is not there."""
    return Application(
        DeviceSessionManagerOptions(
            lease_timeout=600,  # longer than what a test waits for: nothing ends by it
            devices={
                "left": DeviceSessionOptions(port=ports[0], tags=frozenset({"bench", "dry"})),
                "right": DeviceSessionOptions(port=ports[1], tags=frozenset({"bench"})),
                "away": DeviceSessionOptions(port="/dev/there-is-no-such-port", tags=frozenset({"lost"})),
            },
        )
    )
