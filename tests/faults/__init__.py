"""Faults, on purpose: what becomes of an operation whatever breaks."""
