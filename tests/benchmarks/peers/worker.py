"""One tool on one port, in a process and an environment of its own: it does what lines of JSON on its input say.

Each answer is a line of JSON on the descriptor that was its standard output; what the tool itself prints goes to
standard error. CPU seconds are those of the whole process, all its threads and the system's work for it included.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.peers.drivers import Driver

_HASH = """
from hashlib import sha256
from binascii import hexlify
print(hexlify(sha256(open('/{name}','rb').read()).digest()).decode())
"""


def obey(driver: Driver, order: dict[str, Any]) -> dict[str, Any]:
    """Do one thing and tell how long it took."""
    what = order["do"]
    answer: dict[str, Any] = {}
    busy, began = time.process_time(), time.perf_counter()
    if what == "connect":
        driver.connect()
        answer["said"] = driver.said
    elif what == "close":
        driver.close()
    elif what == "execute":
        answer["times"] = driver.block(order["code"], order["seconds"], order["most"])
    elif what == "put":
        driver.put(Path(order["file"]), order["name"])
    elif what == "get":
        driver.get(order["name"], Path(order["file"]))
    elif what == "hash":
        driver.begin()
        output = driver.execute(_HASH.format(name=order["name"]))
        driver.end()
        answer["hash"] = (output if isinstance(output, str) else bytes(output).decode()).strip()  # type: ignore[call-overload]  # text or bytes
    answer["seconds"], answer["cpu"] = time.perf_counter() - began, time.process_time() - busy
    return answer


def main() -> None:
    """``worker MODULE:CLASS PORT BAUDRATE LOSES``."""
    where, port, baudrate, loses = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module, _, name = where.partition(":")
    try:
        make = getattr(importlib.import_module(f"tests.benchmarks.peers.drivers.{module}"), name)
        driver = make(port, int(baudrate), loses=loses == "True")
    except BaseException as error:  # noqa: BLE001  it is the answer
        answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        return
    for line in sys.stdin:
        try:
            answer = obey(driver, json.loads(line))
        except BaseException as error:  # noqa: BLE001  some tools raise what is no Exception, or end the program
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
