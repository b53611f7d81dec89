"""Many sessions, one owner each."""

from belay_py.manager.leases import Lease
from belay_py.manager.manager import DeviceSessionManager

__all__ = ["DeviceSessionManager", "Lease"]
