"""Words that no program on the board can know, for everything that must not be forged or taken for something older.

MicroPython keeps each string of up to ten characters that stands in code, until it restarts: 14 to 22 bytes of heap for
every new one (seen with ``micropython.qstr_info()`` on a Pico; ``MICROPY_ALLOC_PARSE_INTERN_STRINGS_LEN``). So strings
are longer here, and the marker, which every execution pays for, is bytes, which are not kept from 1.19 on.
"""

from __future__ import annotations

import os
import secrets

_KEPT = 10
"""Characters of a string that the board keeps."""
_MARKER = 4
_BATCH = 6
_LENGTH = _MARKER + _KEPT + 1

_drawn: list[str] = []  # of executions, ahead: one by one they are 2 % of what an execution takes on the fastest board
_DRAWN_AT_ONCE = 64


def of_execution() -> str:
    """Return a marker and a fence's nonce in one; see `RawRepl.submit`."""
    try:
        return _drawn.pop()
    except IndexError:  # or another thread has had the last one
        text = secrets.token_urlsafe(_LENGTH * _DRAWN_AT_ONCE)
        several = [text[start : start + _LENGTH] for start in range(0, _LENGTH * _DRAWN_AT_ONCE, _LENGTH)]
        _drawn.extend(several[1:])
        return several[0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)  # what the parent has drawn is the parent's


def of_fence() -> str:
    """Return the nonce of a further fence."""
    return secrets.token_urlsafe(_KEPT)[: _KEPT + 1]


def of_life() -> str:
    """Return a name for a life of a board's interpreter."""
    return secrets.token_hex(_KEPT)[: _KEPT + 2]


def of_handshake() -> str:
    """Return a nonce whose last character is sent apart from the others."""
    return secrets.token_hex(_KEPT)[: _KEPT + 2]


def of_value() -> str:
    """Return the nonce around an encoded value."""
    return secrets.token_hex(_KEPT)[: _KEPT + 1]


def of_batch() -> str:
    """Return the nonce around the outputs of snippets that run together; bytes, on the board."""
    return secrets.token_urlsafe(_BATCH)[:_BATCH]


def of_messages() -> str:
    """Return the nonce of a connection's messages."""
    return secrets.token_urlsafe(_KEPT)[: _KEPT + 1]
