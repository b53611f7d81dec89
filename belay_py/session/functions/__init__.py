"""Remote functions: functions of the host whose source runs on a board."""

from belay_py.session.functions.board import Board, setup, task, teardown
from belay_py.session.functions.remote import Functional, RemoteFunction, RemoteGenerator
from belay_py.session.functions.setups import Setups
from belay_py.session.functions.tasks import Task

__all__ = [
    "Board",
    "Functional",
    "RemoteFunction",
    "RemoteGenerator",
    "Setups",
    "Task",
    "setup",
    "task",
    "teardown",
]
