"""Errors as problem details (RFC 9457), each with the HTTP status that says what a client can do about it."""

# FastAPI reads annotations while the program runs: no postponed ones, and no imports for type checkers only.
import logging
import math
import re
from typing import Any, Final, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from belay_py import errors
from belay_py.text import short

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_URN: Final = "urn:belay-py:"
_SHORTEST_WAIT: Final = 1
"""Seconds after which to ask again, where the error does not say: ``Retry-After`` knows whole ones only."""
_TRY_AGAIN_LATER, _INTERNAL_ERROR = 1013, 1011  # https://www.iana.org/assignments/websocket/ "Close Code Number"
_LONGEST_REASON: Final = 120  # of 123 bytes (RFC 6455, 5.5), in case there are letters of two

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
    detail: str = Field(description="what happened this time, and what to do about it")
    instance: str = Field(description="the path of the request")
    outcome: Literal["not_started", "unknown"] | None = Field(
        None, description="whether code on the board may have run, where the error tells"
    )
    retry_after: float | None = Field(None, description="seconds after which it is worth another try, where known")


def status_of(error: errors.BelayError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem_of(error: errors.BelayError, instance: str) -> Problem:
    """Say what went wrong in answering the request of the path ``instance``."""
    name = type(error).__name__
    return Problem(
        type=f"{_URN}{name}",
        title=re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize(),
        status=status_of(error),
        detail=str(error),
        instance=instance,
        outcome=getattr(error, "outcome", None),
        retry_after=_retry_after(error),
    )


def _retry_after(error: errors.BelayError) -> float | None:
    """Seconds, for an error that passes by itself, and where nothing has run that another try would do twice."""
    if status_of(error) not in (429, 503) or getattr(error, "outcome", None) != "not_started":
        return None
    return max(getattr(error, "retry_after", 0.0), _SHORTEST_WAIT)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what tells OpenAPI that an endpoint answers with problem details: ``responses=problem_responses(503)``.

    Without ``statuses``, those that a lease may have: 404, 503 and 504.
    """
    schema = Problem.model_json_schema()
    return {
        status: {"description": "A problem", "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses or (404, 503, 504)
    }


def handle_errors(app: FastAPI) -> None:
    """Have every `BelayError` that an endpoint or a dependency raises answered with problem details.

    Answers of 500 are logged with their traceback, others at INFO. A WebSocket is closed, with 1013 where it is worth
    another try and 1011 otherwise.
    """
    app.add_exception_handler(errors.BelayError, _answer)


async def _answer(connection: Request | WebSocket, error: Exception) -> Response:
    assert isinstance(error, errors.BelayError)  # it is registered for these
    problem = problem_of(error, connection.url.path)
    fault = problem.status == 500
    _log.log(
        logging.ERROR if fault else logging.INFO,
        "%s is answered with %d: %s",
        problem.instance,
        problem.status,
        error,
        exc_info=error if fault else None,
    )
    if isinstance(connection, WebSocket):
        again = problem.retry_after is not None
        reason = short(f"{problem.title}: {problem.detail}", _LONGEST_REASON)
        await connection.close(_TRY_AGAIN_LATER if again else _INTERNAL_ERROR, reason)
        return Response()  # nobody looks at it
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        problem.status,
        {} if problem.retry_after is None else {"Retry-After": str(math.ceil(problem.retry_after))},
        media_type=MEDIA_TYPE,
    )
