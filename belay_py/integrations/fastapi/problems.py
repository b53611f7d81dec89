"""Errors of endpoints and dependencies, answered with problem details (RFC 9457)."""

# FastAPI reads annotations while the program runs: no postponed ones, and no imports for type checkers only.
import contextlib
import functools
import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from belay_py.errors import BelayError
from belay_py.integrations.problems import MEDIA_TYPE, Problem, problem_of

_log = logging.getLogger(__name__)

_TRY_AGAIN_LATER, _INTERNAL_ERROR = 1013, 1011  # https://www.iana.org/assignments/websocket/ "Close Code Number"
_LONGEST_REASON: Final = 123  # bytes (RFC 6455, 5.5)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what tells OpenAPI that an endpoint answers with problem details: ``responses=problem_responses(503)``.

    Without ``statuses``, those that a lease may have: 404, 503 and 504.
    """
    schema = Problem.model_json_schema()
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses or (404, 503, 504)
    }


def handle_errors(app: FastAPI, *, details: bool = False) -> None:
    """Have every `BelayError` that an endpoint or a dependency raises answered with problem details.

    Answers of 500 are logged with their traceback, others at INFO. What errors of 500 and above say is answered with
    ``details`` only, see `problem_of`. A WebSocket that was accepted is closed, with 1013 where it is worth another try
    and 1011 otherwise.
    """
    handler = functools.partial(_answer, details=details)
    app.add_exception_handler(BelayError, handler)  # type: ignore[arg-type]  # None is for a WebSocket only


async def _answer(connection: Request | WebSocket, error: Exception, *, details: bool) -> Response | None:
    assert isinstance(error, BelayError)  # it is registered for these
    problem = problem_of(error, connection.url.path, details=details)
    fault = problem.status == 500
    _log.log(
        logging.ERROR if fault else logging.INFO,
        "%s is answered with %d: %s",
        problem.instance,
        problem.status,
        error,
        exc_info=error if fault else None,
    )
    if isinstance(connection, WebSocket) and not _takes_an_answer(connection):
        await _close(connection, problem)
        return None
    return Response(problem.body, problem.status, problem.headers)


def _takes_an_answer(socket: WebSocket) -> bool:
    """Whether it is a request still, which a server of ASGI's "Websocket Denial Response" answers."""
    is_request = socket.application_state is WebSocketState.CONNECTING
    return is_request and "websocket.http.response" in (socket.scope.get("extensions") or {})


async def _close(socket: WebSocket, problem: Problem) -> None:
    code = _INTERNAL_ERROR if problem.retry_after is None else _TRY_AGAIN_LATER
    reason = problem.title if problem.detail is None else f"{problem.title}: {problem.detail}"
    whole = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the endpoint has closed it, or the client is gone
        await socket.close(code, whole)
