"""A little of the soak in docs/reliability.md."""

from __future__ import annotations

import asyncio

from tests.jobs.mix import Mix
from tests.manager.fleet import there_is


def test_faults_under_load_leave_nothing_wrong_and_nothing_behind() -> None:
    before = there_is()
    with asyncio.Runner() as runner:
        mix = Mix(6, every=0.1, pause=0.2, seed=1, most=40, longest=0.5)
        runner.run(mix.run(workers=9))
    assert mix.all_wrong() == []
    assert mix.left == []
    assert there_is() - before == set()
    assert mix.faults.total() == 40
    assert sum(bench.checked for bench in mix.benches.values())
