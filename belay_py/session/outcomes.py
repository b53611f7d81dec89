"""How an exchange with a board ends that gets no answer. What these mean to a caller is the session's affair."""

from __future__ import annotations

from typing import Final

WAS_RUNNING: Final = ". Code was running; nobody can tell how far it came"
"""How the message ends for a caller whose code was with the board when the link was lost, behind the reason."""


class Expired(Exception):
    """The exchange's deadline has passed."""


class LinkLost(Exception):
    """The transport ended; its reason is the cause, if it had one."""


class Dropped(Exception):
    """An interrupt made the board forget code that had not been sent to its end."""


class Stalled(Exception):
    """The board went silent where it never does, so that bytes must have been lost."""


class Restarted(Exception):
    """The board's interpreter is not the one that the exchange began with."""

    def __init__(self, *, not_started: bool) -> None:
        super().__init__()
        self.not_started = not_started


class WentAway(Exception):
    """The board left its port, since it was restarted; it comes back."""
