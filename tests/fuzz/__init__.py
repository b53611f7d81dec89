"""Any bytes at all, fed to what reads a board's bytes. ``python -m tests.fuzz receiver --seconds 600`` does it long."""
