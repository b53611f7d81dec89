"""``returns=``: values become what their caller declared, or one line says why not."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict  # pydantic's choice before Python 3.12

from belay_py import ExecutionError, SettingsError, UnexpectedValue, ValueNotSupported
from belay_py.session import returns
from belay_py.sync import DeviceSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.virtual import BoardProcess


@dataclass
class Reading:
    celsius: float
    unit: str = "C"


class Point(NamedTuple):
    x: int
    y: int


class Row(TypedDict):
    pin: int
    name: str


class Report(BaseModel):
    readings: list[Reading]
    at: Point


class NoSchema:
    pass


NOT_THERE: Any = list["Nobody"]  # type: ignore[name-defined]  # noqa: F821  that is the point of it


@pytest.fixture(scope="module")
def session(direct_board: BoardProcess) -> Iterator[DeviceSession]:
    with DeviceSession(direct_board.port) as session:
        yield session


@pytest.mark.parametrize(
    ("code", "wanted", "value"),
    [
        ("1", int, 1),
        ("1", float, 1.0),
        ("None", type(None), None),
        ("{'celsius': 21, 'unit': 'K'}", Reading, Reading(21.0, "K")),
        ("(1, 2)", Point, Point(1, 2)),
        ("{'pin': 1, 'name': 'led'}", Row, {"pin": 1, "name": "led"}),
        ("{'readings': [{'celsius': 1.5}], 'at': (3, 4)}", Report, Report(readings=[Reading(1.5)], at=Point(3, 4))),
        ("[1, 2]", list[int], [1, 2]),
        ("[1, 2]", tuple[int, ...], (1, 2)),
        ("{1: b'x'}", dict[int, bytes], {1: b"x"}),
        ("'on'", Literal["on", "off"], "on"),
        ("5", Annotated[int, Field(lt=10)], 5),
        ("'x'", int | str, "x"),
        ("1", int | None, 1),
        ("None", int | None, None),
    ],
)
def test_what_fits_becomes_what_was_declared(session: DeviceSession, code: str, wanted: Any, value: object) -> None:
    got = session.evaluate(code, returns=wanted)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("code", "wanted", "message"),
    [
        ("'x'", int, "the value is not a int: input should be a valid integer.*, not 'x'"),
        ("{'celsius': 'hot'}", Reading, "not a Reading: field celsius: input should be a valid number.*, not 'hot'"),
        ("{}", Reading, "field celsius: field required"),
        ("{'readings': [{'celsius': None}], 'at': (1, 2)}", Report, r"field readings\[0\].celsius: .* not None"),
        ("[1, None, 'x']", list[int], r"not a list\[int\]: field \[1\]: .*not None \(and 1 more\)"),
        ("'auto'", Literal["on", "off"], "input should be 'on' or 'off', not 'auto'"),
        ("50", Annotated[int, Field(lt=10)], "less than 10, not 50"),
        ("'x' * 500", int, r"not 'x+\.\.\.x+'$"),
        ("1 << 20000", str, "not this int"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(session: DeviceSession, code: str, wanted: Any, message: str) -> None:
    with pytest.raises(UnexpectedValue, match=message) as caught:
        session.evaluate(code, returns=wanted)
    error = caught.value
    assert "\n" not in str(error)
    assert error.value == session.evaluate(code)
    assert isinstance(error.__cause__, ValidationError)
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.value) == (str(error), error.value)


@pytest.mark.parametrize("wanted", [NoSchema, list[NoSchema], "int", 5, NOT_THERE], ids=repr)
def test_what_is_no_type_is_refused_before_anything_is_sent(session: DeviceSession, wanted: Any) -> None:
    used = session.last_used
    with pytest.raises(SettingsError, match="returns") as caught:
        session.evaluate("1", returns=wanted)
    assert "\n" not in str(caught.value)
    assert session.last_used == used


def test_other_errors_come_first(session: DeviceSession) -> None:
    with pytest.raises(ExecutionError, match="ZeroDivisionError"):
        session.evaluate("1/0", returns=int)
    with pytest.raises(ValueNotSupported):
        session.evaluate("len", returns=int)


def test_adapters_are_kept_and_the_order_of_a_union_counts() -> None:
    assert returns._cached_adapter(int, "int") is returns._cached_adapter(int, "int")
    before = returns._cached_adapter.cache_info().hits
    returns.validator(list[int])
    returns.validator(list[int])
    assert returns._cached_adapter.cache_info().hits > before
    one, other = Annotated[int | str, Field(union_mode="left_to_right")], int | str
    assert returns.validator(one)("1") == 1
    assert returns.validator(other)("1") == "1"
    assert [type(returns.validator(union)("1")) for union in (int | float, float | int)] == [int, float]
    assert returns.validator(Annotated[int, Field(json_schema_extra={"a": []})])(1) == 1


def test_types_are_seen_by_type_checkers(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text("""
from dataclasses import dataclass
from typing import assert_type, Any, Literal
import belay_py, belay_py.sync

@dataclass
class Reading:
    celsius: float

async def asynchronous(session: belay_py.DeviceSession) -> None:
    assert_type(await session.evaluate("x", returns=Reading), Reading)
    assert_type(await session.evaluate("x", returns=list[int]), list[int])
    assert_type(await session.evaluate("x", returns=Literal[1]), Any)
    assert_type(await session.evaluate("x"), Any)

def blocking(session: belay_py.sync.DeviceSession) -> None:
    assert_type(session.evaluate("x", returns=Reading, timeout=1), Reading)
    assert_type(session.evaluate("x"), Any)
""")
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_pydantic_is_loaded_only_when_asked_for() -> None:
    code = """
import sys
from belay_py.sync import DeviceSession
with DeviceSession("virtual:") as session:
    session.evaluate("1")
    assert not {"pydantic", "pydantic_settings"} & set(sys.modules)
    session.evaluate("1", returns=int)
    assert "pydantic" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
