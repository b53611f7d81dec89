"""The threads in which belay_py opens, reads and closes beside the loop."""

from __future__ import annotations

import threading

PATIENCE = 20
"""Seconds: a limit for what hangs, not an expectation."""


def join_workers() -> None:
    """Wait for each of them, and for those that they start. The blocking face's loop, ``belay-py-loop``, is none."""
    while ours := [thread for thread in threading.enumerate() if thread.name.startswith("belay ")]:
        ours[0].join(PATIENCE)
        assert not ours[0].is_alive()
