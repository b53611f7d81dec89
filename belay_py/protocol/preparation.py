"""What a board must run once in each life of its interpreter, before responses can be marked and lives told apart.

It sets two names on ``builtins``: ``_q`` writes the marker at the end of a response, and ``_belay_life`` is a word that
the first host of this life has drawn. A reset takes both away, whoever saw it; another process finds them and knows the
life again. What is set on ``builtins`` is found by names only, not as an attribute (tried on 1.29).
"""

from __future__ import annotations

from typing import Final

# Not `print`: programs redefine it. The name of the life comes last, so that whoever finds it finds both.
_PREPARE: Final = b"""\
try:_belay_life
except NameError:
 __import__('builtins')._q=__import__('sys').stdout.write
 __import__('builtins')._belay_life='%s'
"""


def prepare(life: str) -> bytes:
    """Return code that prepares a board unless that was done in this life, and calls the life ``life`` then.

    Afterwards ``_belay_life`` is its name. Raises AttributeError on boards without ``sys.stdout``.
    """
    return _PREPARE % life.encode()


def ask_life(life: str) -> bytes:
    """Return code that prepares a board as `prepare` does and prints the name of its life."""
    return prepare(life) + b"print(_belay_life)"
