"""Errors as problem details: each has a status, the page says which, and clients can rely on the shape."""

from __future__ import annotations

import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from belay_py import errors
from belay_py.integrations.fastapi import handle_errors, problem_responses
from belay_py.integrations.problems import STATUSES, Problem, problem_of, status_of
from tests.docs.test_tables import table_rows

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.BelayError)]


def answering(error: Exception, *, details: bool = False) -> TestClient:
    """A client of an application whose ``/fail`` raises that."""
    app = FastAPI()
    handle_errors(app, details=details)

    @app.get("/fail", responses=problem_responses(503))
    async def fail() -> None:
        raise error

    return TestClient(app, raise_server_exceptions=False)


def test_every_error_has_a_status_and_the_page_says_which() -> None:
    assert set(STATUSES) == set(ALL)
    written = {row[0].strip("`"): int(row[1]) for row in table_rows("services.md", "Raised")}
    assert written == {kind.__name__: status for kind, status in STATUSES.items()}


def test_an_error_of_a_users_own_has_the_status_of_its_parent() -> None:
    class PumpBusy(errors.DeviceBusy):
        pass

    assert status_of(PumpBusy("it pumps")) == 503
    assert answering(PumpBusy("it pumps")).get("/fail").json()["title"] == "Pump busy"


def test_a_board_that_is_not_there_is_no_wrong_name() -> None:
    assert problem_of(errors.DeviceNotFound("there is no device 'lef'"), "/").status == 404
    away = errors.DeviceNotFound("there is no /dev/ttyACM0; there are /dev/ttyACM1")
    away.port = "/dev/ttyACM0"
    problem = problem_of(away, "/")
    assert (problem.status, problem.title, problem.retry_after) == (503, "Connection failed", 1)
    assert problem.detail is None  # it names ports


def test_the_answer_is_problem_details() -> None:
    answer = answering(errors.CircuitOpen("left alone", retry_after=2.3), details=True).get("/fail?secret=1")
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "3"
    assert answer.json() == {
        "type": "urn:belay-py:CircuitOpen",
        "title": "Circuit open",
        "status": 503,
        "detail": "left alone",
        "instance": "/fail",
        "outcome": "not_started",
        "retry_after": 2.3,
    }
    Problem.model_validate_json(answer.content)


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (errors.DeviceBusy("x"), "1"),
        (errors.TooManyWaiters("x"), "1"),
        (errors.Disconnected("x"), "1"),
        (errors.RateLimited("x", retry_after=0.2), "1"),
        (errors.RateLimited("x", retry_after=7), "7"),
        (errors.OutcomeUnknown("x"), None),  # another try may do it twice
        (errors.Interrupted("x"), None),
        (errors.SessionTimeout("x", outcome="not_started"), None),
        (errors.DeviceNotFound("x"), None),
    ],
)
def test_another_try_is_proposed_only_where_nothing_has_run(error: errors.BelayError, after: str | None) -> None:
    assert answering(error).get("/fail").headers.get("Retry-After") == after


def test_a_fault_of_the_service_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "belay_py")
    answering(errors.InvalidArguments("two of them")).get("/fail")
    answering(errors.DeviceBusy("in use")).get("/fail")
    fault, other = caplog.records
    assert (fault.levelname, bool(fault.exc_info), fault.getMessage()) == (
        "ERROR",
        True,
        "/fail is answered with 500: two of them",
    )
    assert (other.levelname, bool(other.exc_info)) == ("INFO", False)


def test_what_is_for_who_runs_the_service_is_not_told_to_clients(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "belay_py")
    busy = errors.DeviceBusy("/dev/ttyACM0 is in use by pid 12 (flash --token=abc): end that, or wait")
    assert answering(busy).get("/fail").json() == {
        "type": "urn:belay-py:DeviceBusy",
        "title": "Device busy",
        "status": 503,
        "instance": "/fail",
        "outcome": "not_started",
        "retry_after": 1.0,
    }
    assert str(busy) in caplog.text
    assert answering(busy, details=True).get("/fail").json()["detail"] == str(busy)
    unknown = errors.DeviceNotFound("there is no device 'pmp'; did you mean 'pump'?")
    assert answering(unknown).get("/fail").json()["detail"] == str(unknown)


def test_an_answer_for_any_framework() -> None:
    problem = problem_of(errors.RateLimited("two a second", retry_after=0.2), "/here")
    assert problem.headers == {"Content-Type": "application/problem+json", "Retry-After": "1"}
    assert Problem.model_validate_json(problem.body) == problem
    assert problem_of(errors.OutcomeUnknown("x"), "/").headers == {"Content-Type": "application/problem+json"}


def test_an_exception_that_is_not_ours_is_left_alone() -> None:
    answer = answering(KeyError("a bug")).get("/fail")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")


def test_openapi_knows_the_problems() -> None:
    document = answering(errors.BelayError()).get("/openapi.json").json()
    answers = document["paths"]["/fail"]["get"]["responses"]
    schema = answers["503"]["content"]["application/problem+json"]["schema"]
    assert set(schema["required"]) == {"type", "title", "status", "instance"}
    assert set(problem_responses()) == {404, 503, 504}
