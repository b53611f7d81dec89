"""Errors as problem details (RFC 9457), each with the HTTP status that says what a client can do about it.

It knows of no web framework: a `Problem` has the status, the headers and the body of an answer.
"""

# pydantic reads annotations while the program runs: no postponed ones, and no imports for type checkers only.
import math
import re
from typing import Final, Literal

from pydantic import BaseModel, Field

from belay_py import errors

MEDIA_TYPE: Final = "application/problem+json"
_URN: Final = "urn:belay-py:"
_SHORTEST_WAIT: Final = 1
"""Seconds after which to ask again, where the error does not say: ``Retry-After`` knows whole ones only."""

STATUSES: Final[dict[type[errors.BelayError], int]] = {
    # The request names what is not there, or what cannot be done to it.
    errors.DeviceNotFound: 404,
    errors.RemoteFileNotFound: 404,
    errors.RemotePermissionError: 403,
    errors.RemoteFileExists: 409,
    errors.RemoteIsADirectory: 409,
    errors.RemoteNotADirectory: 409,
    errors.RateLimited: 429,
    # The service cannot do it now.
    errors.DeviceBusy: 503,
    errors.TooManyWaiters: 503,
    errors.CircuitOpen: 503,
    errors.ConnectionFailed: 503,
    errors.Disconnected: 503,
    errors.SessionClosed: 503,
    errors.Interrupted: 503,
    # The board, to which the service is a gateway, was lost, is another one, or did not answer as it should.
    errors.OutcomeUnknown: 502,
    errors.BoardWasReset: 502,
    errors.IdentityChanged: 502,
    errors.ProtocolViolation: 502,
    errors.UnexpectedValue: 502,
    errors.TransferError: 502,
    errors.SessionTimeout: 504,
    errors.NotSupported: 501,
    # A fault of the service: its code, which ran on the board; its calls; its settings.
    errors.ExecutionError: 500,
    errors.CodeTooLarge: 500,
    errors.IllegalTransition: 500,
    errors.InvalidArguments: 500,
    errors.InvalidCode: 500,
    errors.JournalError: 500,
    errors.RemoteFileError: 500,
    errors.SettingsError: 500,
    errors.ValueNotSupported: 500,
    errors.VirtualBoardUnavailable: 500,
    errors.BelayError: 500,
}
"""The HTTP status of each error; one of a class that is not here has that of its nearest parent."""


class Problem(BaseModel):
    """What went wrong, as problem details (RFC 9457)."""

    type: str = Field(description="`urn:belay-py:` and the name of the error's class", examples=[f"{_URN}DeviceBusy"])
    title: str = Field(description="the same in words", examples=["Device busy"])
    status: int = Field(description="the HTTP status", examples=[503])
    detail: str | None = Field(
        None, description="what happened this time, and what to do about it; below 500, or if the service tells more"
    )
    instance: str = Field(description="the path of the request")
    outcome: Literal["not_started", "unknown"] | None = Field(
        None, description="whether code on the board may have run, where the error tells"
    )
    retry_after: float | None = Field(None, description="seconds after which it is worth another try, where known")

    @property
    def headers(self) -> dict[str, str]:
        """Those of the answer: its media type, and when to try again if that is worth it."""
        kind = {"Content-Type": MEDIA_TYPE}
        return kind if self.retry_after is None else {**kind, "Retry-After": str(math.ceil(self.retry_after))}

    @property
    def body(self) -> str:
        """The answer, as JSON."""
        return self.model_dump_json(exclude_none=True)


def status_of(error: errors.BelayError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem_of(error: errors.BelayError, instance: str, *, details: bool = False) -> Problem:
    """Say what went wrong in answering the request of the path ``instance``.

    What an error of 500 and above says is for who runs the service: it may name ports, files, and the command lines of
    programs that have a board. Its ``detail`` is told with ``details`` only, and belongs into the log otherwise.

    `DeviceNotFound` of a device whose board is not there is answered as `ConnectionFailed`: what the request names is
    there.
    """
    if isinstance(error, errors.DeviceNotFound) and error.port is not None:
        error = errors.ConnectionFailed(f"its board is not there: {error}")
    name, status = type(error).__name__, status_of(error)
    return Problem(
        type=f"{_URN}{name}",
        title=re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize(),
        status=status,
        detail=str(error) if details or status < 500 else None,
        instance=instance,
        outcome=getattr(error, "outcome", None),
        retry_after=_retry_after(error),
    )


def _retry_after(error: errors.BelayError) -> float | None:
    """Seconds, for an error that passes by itself, and where nothing has run that another try would do twice."""
    if status_of(error) not in (429, 503) or getattr(error, "outcome", None) != "not_started":
        return None
    return max(getattr(error, "retry_after", 0.0), _SHORTEST_WAIT)
