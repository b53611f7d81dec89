"""belay_py: Python programs that own MicroPython boards.

The public names are resolved on first use (PEP 562), so that importing the package costs nothing that is not used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers, which do not see __getattr__; a test compares the two lists
    from belay_py.errors import BelayError as BelayError
    from belay_py.errors import BoardWasReset as BoardWasReset
    from belay_py.errors import CircuitOpen as CircuitOpen
    from belay_py.errors import CodeTooLarge as CodeTooLarge
    from belay_py.errors import ConnectionFailed as ConnectionFailed
    from belay_py.errors import DeviceBusy as DeviceBusy
    from belay_py.errors import DeviceFrame as DeviceFrame
    from belay_py.errors import DeviceNotFound as DeviceNotFound
    from belay_py.errors import Disconnected as Disconnected
    from belay_py.errors import ExecutionError as ExecutionError
    from belay_py.errors import IdentityChanged as IdentityChanged
    from belay_py.errors import IllegalTransition as IllegalTransition
    from belay_py.errors import Interrupted as Interrupted
    from belay_py.errors import InvalidArguments as InvalidArguments
    from belay_py.errors import InvalidCode as InvalidCode
    from belay_py.errors import JournalError as JournalError
    from belay_py.errors import NotSupported as NotSupported
    from belay_py.errors import OutcomeUnknown as OutcomeUnknown
    from belay_py.errors import ProtocolViolation as ProtocolViolation
    from belay_py.errors import RateLimited as RateLimited
    from belay_py.errors import RemoteFileError as RemoteFileError
    from belay_py.errors import RemoteFileExists as RemoteFileExists
    from belay_py.errors import RemoteFileNotFound as RemoteFileNotFound
    from belay_py.errors import RemoteIsADirectory as RemoteIsADirectory
    from belay_py.errors import RemoteNotADirectory as RemoteNotADirectory
    from belay_py.errors import RemotePermissionError as RemotePermissionError
    from belay_py.errors import SessionClosed as SessionClosed
    from belay_py.errors import SessionTimeout as SessionTimeout
    from belay_py.errors import SettingsError as SettingsError
    from belay_py.errors import TooManyWaiters as TooManyWaiters
    from belay_py.errors import TransferError as TransferError
    from belay_py.errors import UnexpectedValue as UnexpectedValue
    from belay_py.errors import ValueNotSupported as ValueNotSupported
    from belay_py.errors import VirtualBoardUnavailable as VirtualBoardUnavailable
    from belay_py.journal.records import LeftBehind as LeftBehind
    from belay_py.lifecycle import DeviceSessionState as DeviceSessionState
    from belay_py.manager.health import HealthFinding as HealthFinding
    from belay_py.manager.health import ManagerHealth as ManagerHealth
    from belay_py.manager.leases import Lease as Lease
    from belay_py.manager.manager import DeviceSessionManager as DeviceSessionManager
    from belay_py.manager.statistics import DeviceStatistics as DeviceStatistics
    from belay_py.manager.statistics import ManagerStatistics as ManagerStatistics
    from belay_py.options import CircuitBreakerOptions as CircuitBreakerOptions
    from belay_py.options import CommunicationOptions as CommunicationOptions
    from belay_py.options import DeviceSessionManagerOptions as DeviceSessionManagerOptions
    from belay_py.options import DeviceSessionOptions as DeviceSessionOptions
    from belay_py.options import RateLimitOptions as RateLimitOptions
    from belay_py.options import RetryOptions as RetryOptions
    from belay_py.session.building import build_session as build_session
    from belay_py.session.detect import Detection as Detection
    from belay_py.session.detect import detect as detect
    from belay_py.session.execution import ExecutionResult as ExecutionResult
    from belay_py.session.factory import DeviceSessionFactory as DeviceSessionFactory
    from belay_py.session.files.plans import SyncPlan as SyncPlan
    from belay_py.session.files.streams import RemoteFile as RemoteFile
    from belay_py.session.files.transfer import Transfer as Transfer
    from belay_py.session.functions.board import Board as Board
    from belay_py.session.functions.board import setup as setup
    from belay_py.session.functions.board import task as task
    from belay_py.session.functions.board import teardown as teardown
    from belay_py.session.functions.remote import RemoteFunction as RemoteFunction
    from belay_py.session.functions.remote import RemoteGenerator as RemoteGenerator
    from belay_py.session.functions.tasks import Task as Task
    from belay_py.session.info import BoardInfo as BoardInfo
    from belay_py.session.message import Message as Message
    from belay_py.session.resets import Boot as Boot
    from belay_py.session.session import DeviceSession as DeviceSession
    from belay_py.session.statistics import SessionStatistics as SessionStatistics
    from belay_py.settings import Settings as Settings
    from belay_py.settings import load_settings as load_settings

__version__ = "0.1.0"

_HOMES = {
    "belay_py.errors": (
        "BelayError",
        "BoardWasReset",
        "CircuitOpen",
        "CodeTooLarge",
        "ConnectionFailed",
        "DeviceBusy",
        "DeviceFrame",
        "DeviceNotFound",
        "Disconnected",
        "ExecutionError",
        "IdentityChanged",
        "IllegalTransition",
        "Interrupted",
        "InvalidArguments",
        "InvalidCode",
        "NotSupported",
        "JournalError",
        "OutcomeUnknown",
        "ProtocolViolation",
        "RateLimited",
        "RemoteFileError",
        "RemoteFileExists",
        "RemoteFileNotFound",
        "RemoteIsADirectory",
        "RemoteNotADirectory",
        "RemotePermissionError",
        "SessionClosed",
        "SessionTimeout",
        "SettingsError",
        "TooManyWaiters",
        "TransferError",
        "UnexpectedValue",
        "ValueNotSupported",
        "VirtualBoardUnavailable",
    ),
    "belay_py.journal.records": ("LeftBehind",),
    "belay_py.lifecycle": ("DeviceSessionState",),
    "belay_py.manager.health": ("HealthFinding", "ManagerHealth"),
    "belay_py.manager.leases": ("Lease",),
    "belay_py.manager.manager": ("DeviceSessionManager",),
    "belay_py.manager.statistics": ("DeviceStatistics", "ManagerStatistics"),
    "belay_py.options": (
        "CircuitBreakerOptions",
        "CommunicationOptions",
        "DeviceSessionManagerOptions",
        "DeviceSessionOptions",
        "RateLimitOptions",
        "RetryOptions",
    ),
    "belay_py.session.building": ("build_session",),
    "belay_py.session.detect": ("Detection", "detect"),
    "belay_py.session.execution": ("ExecutionResult",),
    "belay_py.session.factory": ("DeviceSessionFactory",),
    "belay_py.session.functions.board": ("Board", "setup", "task", "teardown"),
    "belay_py.session.functions.remote": ("RemoteFunction", "RemoteGenerator"),
    "belay_py.session.functions.tasks": ("Task",),
    "belay_py.session.info": ("BoardInfo",),
    "belay_py.session.files.plans": ("SyncPlan",),
    "belay_py.session.files.streams": ("RemoteFile",),
    "belay_py.session.files.transfer": ("Transfer",),
    "belay_py.session.message": ("Message",),
    "belay_py.session.resets": ("Boot",),
    "belay_py.session.session": ("DeviceSession",),
    "belay_py.session.statistics": ("SessionStatistics",),
    "belay_py.settings": ("Settings", "load_settings"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604  the names of the table above
    "__version__",
    *_HOME_OF,
]


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
