"""Which boards there are, told from what the system knows: no port is ever opened to find out."""

from __future__ import annotations

from belay_py.devices.discovery import DeviceInfo, default_port, list_devices, resolve

__all__ = ["DeviceInfo", "default_port", "list_devices", "resolve"]
