"""The board's process: ``python -m belay_py.virtual``, started by `process.BoardProcess` and ended with it.

Standard input is the control socket; its end, however the owner ended, ends this process at once.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import stat
import sys
import threading
from typing import Any

from belay_py import errors
from belay_py.virtual import artifact, control
from belay_py.virtual.options import VirtualBoardOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from belay_py.virtual.mainboard import Mainboard


def main() -> None:
    """Run a board until its owner is gone."""
    # Ctrl-C in a terminal goes to every process in it, and is meant for the owner.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = _control_socket()
    try:
        request, _ = control.receive(link)
    except (EOFError, OSError):
        return
    try:
        board = _build(request)
    except errors.BelayError as error:
        control.send(link, _failure(error))
        return
    except OSError as error:
        control.send(link, _failure(errors.VirtualBoardUnavailable(f"the virtual board cannot start: {error}")))
        return
    control.send(link, {"ok": True})
    threading.Thread(target=_serve, args=(link, board), name="control", daemon=True).start()
    board.run()


def _control_socket() -> socket.socket:
    if sys.platform == "win32":
        return control.from_share(sys.stdin.readline())
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        sys.exit("this is a virtual board's own process; use belay_py.virtual.VirtualBoard, or 'belay-py virtual'")
    return socket.socket(fileno=os.dup(0))


def _build(request: dict[str, Any]) -> Mainboard:
    if importlib.util.find_spec("wasmtime") is None:
        raise errors.VirtualBoardUnavailable(
            'the virtual board needs wasmtime, which is not installed; run: pip install "belay_py[virtual]"'
        )
    binary = artifact.load(request.get("cdn") or artifact.CDN)
    from belay_py.virtual.mainboard import Mainboard  # noqa: PLC0415  only now is it known that wasmtime is there

    return Mainboard(request["name"], VirtualBoardOptions.from_json(request["options"]), binary)


def _serve(link: socket.socket, board: Mainboard) -> None:
    try:
        while True:
            request, fd = control.receive(link)
            try:
                reply = {"ok": True, "value": _answer(board, request, fd)}
            except errors.BelayError as error:
                reply = _failure(error)
            control.send(link, reply)
    finally:
        # The board's thread may be anywhere, in WebAssembly or a system call; nothing needs to be put in order.
        os._exit(0)


def _answer(board: Mainboard, request: dict[str, Any], fd: int | None) -> int | None:
    match request["do"]:
        case "attach":
            board.attach(_end(request, fd), request["name"])
        case "set_pin":
            board.hardware.set_pin(request["pin"], request["level"])
        case "set_adc":
            board.hardware.set_adc(request["channel"], request["value"])
        case "pin":
            return board.hardware.pin(request["pin"])
        case "reset":
            board.reset()
        case "unplug":
            board.unplug()
        case "replug":
            board.replug()
        case "detach":
            board.detach()
        case other:
            raise errors.BelayError(f"the virtual board knows no request {other!r}; is it of another version?")
    return None


def _end(request: dict[str, Any], fd: int | None) -> socket.socket | int:
    if fd is None:
        return control.from_share(request["share"])
    return socket.socket(fileno=fd) if stat.S_ISSOCK(os.fstat(fd).st_mode) else fd


def _failure(error: errors.BelayError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error), "holder": getattr(error, "holder", None)}
