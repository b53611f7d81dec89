"""An application behind a real HTTP server on loopback, and clients that may go away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import httpx2
import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fastapi import FastAPI


async def until(condition: Callable[[], bool], *, limit: float = 60) -> None:
    """Wait for a condition, turn by turn of the loop; ``limit`` is seconds, for what hangs."""
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.001)


class Service:
    """Where the application is reached."""

    def __init__(self, port: int, client: httpx2.AsyncClient) -> None:
        self.port = port
        self.client = client

    async def get(self, path: str) -> httpx2.Response:
        return await self.client.get(path)

    @contextlib.asynccontextmanager
    async def vanishing(self, request: str) -> AsyncIterator[asyncio.StreamReader]:
        """A client that sends a request, and is gone at the end of the block."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request.replace("\n", "\r\n").encode())
            await writer.drain()
            yield reader
        finally:
            writer.close()
            await writer.wait_closed()

    def going(self, path: str) -> contextlib.AbstractAsyncContextManager[asyncio.StreamReader]:
        """A client that GETs, and is gone at the end of the block."""
        return self.vanishing(f"GET {path} HTTP/1.1\nHost: here\n\n")


@contextlib.asynccontextmanager
async def serving(app: FastAPI, **config: Any) -> AsyncIterator[Service]:
    """Serve an application for the length of a block."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", **config))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await until(lambda: server.started or task.done())
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield Service(port, client)
        finally:
            server.should_exit = True
            await task
