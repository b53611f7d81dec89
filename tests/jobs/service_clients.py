"""Clients of the service of `tests.jobs.service`, in a process of their own: they ask, judge the answers, and vanish.

Started by that one: ``python -m tests.jobs.service_clients PORT BOARDS CLIENTS SECONDS SEED``. What they have seen is
printed as JSON. Without boards, they ask whether the service is alive, which is all that HTTP costs.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from belay_py import errors
from belay_py.integrations.problems import STATUSES, Problem

MAY_HAPPEN = {"BoardWasReset", "CircuitOpen", "ConnectionFailed", "DeviceBusy", "Disconnected", "OutcomeUnknown"}
"""What boards that are unplugged may cause. A fault of the service, a wrong answer or a late one may not be."""
_VANISHES = 0.1
_NAMED = 0.6


@dataclass
class Seen:
    """What all clients have seen together."""

    right: int = 0
    vanished: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    """Seconds, of right answers."""

    def judge(self, answer: httpx2.Response, device: str | None, number: int, latency: float) -> None:
        """Look at an answer to the question for a square."""
        if answer.status_code == 200:
            said = answer.json()
            if said["value"] != number * number or device not in (None, said["device"]):
                self.wrong.append(f"{said} to {device}, {number}")
            else:
                self.right += 1
                self.latencies.append(latency)
        elif answer.headers["Content-Type"] != "application/problem+json":
            self.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
        else:
            problem = Problem.model_validate_json(answer.content)
            name = problem.type.removeprefix("urn:belay-py:")
            kind = getattr(errors, name)
            if name not in MAY_HAPPEN or not problem.status == answer.status_code == STATUSES[kind]:
                self.wrong.append(f"{answer.status_code}: {problem}")
            self.problems[name] += 1

    def summary(self) -> dict[str, Any]:
        """All of it but single latencies."""
        cuts = statistics.quantiles(self.latencies, n=100) if len(self.latencies) > 1 else [0.0] * 99
        return {**vars(self), "latencies": [cuts[49], cuts[98]]}


async def client(asking: httpx2.AsyncClient, boards: int, until: float, chance: random.Random, seen: Seen) -> None:
    while time.monotonic() < until:
        number = chance.randrange(30_000)
        if chance.random() < _VANISHES:
            try:
                async with asyncio.timeout(chance.random() * 0.2):
                    await asking.get(f"/boards/board-{chance.randrange(boards)}/slow")
            except TimeoutError:
                seen.vanished += 1
            continue
        device = f"board-{chance.randrange(boards)}" if chance.random() < _NAMED else None
        path = f"/boards/{device}/square/{number}" if device else f"/any/square/{number}"
        began = time.monotonic()
        try:
            answer = await asking.get(path)
        except httpx2.HTTPError as error:
            seen.wrong.append(f"{path}: {error!r}")
        else:
            seen.judge(answer, device, number, time.monotonic() - began)


async def asking_for_life(asking: httpx2.AsyncClient, until: float, seen: Seen) -> None:
    while (began := time.monotonic()) < until:
        answer = await asking.get("/health/live")
        if answer.json() != {"status": "alive"}:
            seen.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
        else:
            seen.right += 1
            seen.latencies.append(time.monotonic() - began)


async def main(port: int, boards: int, clients: int, seconds: float, seed: int) -> None:
    seen = Seen()
    unlimited = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=unlimited) as asking:
        until = time.monotonic() + seconds
        chances = [random.Random(f"{seed}, {number}") for number in range(clients)]
        await asyncio.gather(
            *(
                client(asking, boards, until, chance, seen) if boards else asking_for_life(asking, until, seen)
                for chance in chances
            )
        )
    sys.stdout.write(json.dumps(seen.summary()))


if __name__ == "__main__":
    _, port, boards, clients, seconds, seed = sys.argv
    asyncio.run(main(int(port), int(boards), int(clients), float(seconds), int(seed)))
