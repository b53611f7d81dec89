"""Temporary: a faulty wire in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from belay_py.transports import open_transport
from belay_py.transports.base import LinkOptions
from belay_py.transports.memory import memory_pair


@dataclass(frozen=True)
class Cut: ...


@dataclass(frozen=True)
class Stall: ...


@dataclass(frozen=True)
class Drop: ...


@dataclass(frozen=True)
class Corrupt:
    mask: int


@dataclass(frozen=True)
class Duplicate: ...


class Direction:
    def __init__(self, wire, send):
        self.wire, self.send = wire, send
        self.passed = 0
        self.due = {}
        self.held = None

    def at(self, n, fault):
        self.due[n] = fault

    def put(self, data):
        if self.wire.is_cut:
            return
        if self.held is not None:
            self.held += data
            return
        out = bytearray()
        for i, byte in enumerate(data):
            fault = self.due.pop(self.passed, None)
            self.passed += 1
            match fault:
                case Cut():
                    if out: self.send(bytes(out))
                    self.wire.cut()
                    return
                case Stall():
                    if out: self.send(bytes(out))
                    self.held = bytearray(data[i:])
                    return
                case Drop():
                    continue
                case Corrupt(mask):
                    byte ^= mask
                case Duplicate():
                    out.append(byte)
            out.append(byte)
        if out:
            self.send(bytes(out))


class FaultyWire:
    def __init__(self, board_port):
        self._board_port = board_port
        _, self._host = memory_pair()
        self._host.on_data = lambda data: self.to_board.put(data)
        self._inner = None
        self.to_board = Direction(self, lambda data: self._inner.write(data))
        self.from_board = Direction(self, self._host.feed)
        self.is_cut = False

    @property
    def port(self):
        return self._host.port

    async def __aenter__(self):
        await open_transport(self._board_port, self, LinkOptions())
        return self

    async def __aexit__(self, *_):
        self._inner.abort()

    def connection_made(self, transport):
        self._inner = transport

    def data_received(self, data):
        self.from_board.put(data)

    def connection_lost(self, exc): ...
    def pause_writing(self): ...
    def resume_writing(self): ...

    def cut(self):
        self.is_cut = True
        self._host.lose(OSError("cut"))
        self._host.plugged = False

    def replug(self):
        self.is_cut = False
        self._host.plugged = True
        for d in (self.to_board, self.from_board):
            d.due.clear()
            held, d.held = d.held, None
            if held:
                d.put(bytes(held))
