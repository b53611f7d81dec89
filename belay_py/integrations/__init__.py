"""Bridges to other libraries. Each is an extra, and loaded only by who imports it; nothing else in belay_py does."""
