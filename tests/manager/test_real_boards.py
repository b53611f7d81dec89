"""A fleet of real boards under many tasks: what they get is what they sent, and nothing is left at the end.

``python -m tests.jobs.fleet`` does the same with more of everything.
"""

from __future__ import annotations

from tests.manager.fleet import Size, run

OF_OTHERS_DEEDS = {
    *("BoardWasReset", "OutcomeUnknown", "Disconnected", "DeviceNotFound", "ConnectionFailed", "IdentityChanged"),
}


def test_tasks_that_are_cancelled_and_kill_their_boards() -> None:
    report = run(Size(boards=8, tasks=60, jobs=4, killing=0.2))
    assert report.wrong == []
    assert report.left == []
    assert report.errors.keys() <= OF_OTHERS_DEEDS, report.errors
    assert report.killed.keys() == {"unplugged", "process killed", "SystemExit", "chip reset"}
    assert report.cancelled
    assert report.done.total() + report.errors.total() + report.cancelled == 60 * 4
