"""Endpoints that have boards."""

# FastAPI reads the annotations of endpoints while the program runs: no postponed ones.
import asyncio
from typing import Annotated, Any

from fastapi import Depends

from belay_py import BelayError, DeviceSession
from belay_py.integrations.fastapi import leased

from .conftest import Application

Left = Annotated[DeviceSession, Depends(leased("left"))]
FOR_EVER = "while True: pass"


class Watched:
    """An endpoint that holds its board until it is told, or runs code, and notes how that ended."""

    def __init__(self, application: Application) -> None:
        self.inside = asyncio.Event()
        self.go_on = asyncio.Event()
        self.errors: list[BelayError] = []
        application.app.add_api_route("/hold", self.hold)
        application.app.add_api_route("/run", self.run, methods=["GET", "POST"])

    async def hold(self, board: Left) -> Any:
        self.inside.set()
        await self.go_on.wait()
        return await self._noted(board, "1")

    async def run(self, board: Left) -> Any:
        self.inside.set()
        return await self._noted(board, FOR_EVER)

    async def _noted(self, board: DeviceSession, code: str) -> str:
        try:
            return (await board.execute(code, timeout=60)).output
        except BelayError as error:
            self.errors.append(error)
            raise


def add_reading(application: Application) -> None:
    @application.app.get("/read/{board}")
    async def read(
        session: Annotated[DeviceSession, Depends(leased(path="board"))], code: str = "6 * 7"
    ) -> dict[str, Any]:
        value = await session.evaluate(code, timeout=10)
        return {"device": session.device_id, "value": value, "held": application.held}
