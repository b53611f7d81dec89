"""The blocking face: the names of `belay_py`, for scripts.

    from belay_py.sync import DeviceSession

    with DeviceSession("virtual:") as session:
        print(session.execute("print('hi')").output)

There is one implementation, the asyncio one; it runs on a loop in a thread of its own, so that what must go on between
two calls does. Calls may come from any thread and queue in order. Ctrl-C in the terminal stops the board, waits for its
bounded recovery, and raises KeyboardInterrupt.
"""

from belay_py.sync.detection import detect
from belay_py.sync.factory import DeviceSessionFactory
from belay_py.sync.leases import Lease
from belay_py.sync.manager import DeviceSessionManager
from belay_py.sync.session import DeviceSession, build_session

__all__ = ["DeviceSession", "DeviceSessionFactory", "DeviceSessionManager", "Lease", "build_session", "detect"]
