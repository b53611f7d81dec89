"""Serial ports: pyserial opens and configures, pyserial-asyncio's transport, made direct, carries the bytes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from belay_py.transports.offload import offload
from belay_py.transports.serial_device import SerialDevice, open_device
from belay_py.transports.serial_transport import DirectSerialTransport

if TYPE_CHECKING:
    from belay_py.transports.base import LinkOptions, Receiver, Transport


async def open_serial(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Open a serial port by its path. Opening happens in a thread, since drivers may block.

    Raises `DeviceNotFound`, `DeviceBusy` (naming who has it, where /proc tells) or `ConnectionFailed`.
    """
    device = await offload(partial(open_device, port, options), SerialDevice.close, name=f"belay opening {port}")
    transport = DirectSerialTransport(asyncio.get_running_loop(), receiver, device)
    await connection_made(transport)
    return transport


async def connection_made(transport: Transport) -> None:
    """Wait until the receiver knows its transport, which its constructor has scheduled. Cancelled, it closes."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not made.done():
            made.set_result(None)

    loop.call_soon(tell)
    try:
        await made
    except asyncio.CancelledError:
        transport.abort()
        raise
