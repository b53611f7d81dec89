"""Whether a board is what a test asks for: by the settings' tags, by what it says of itself, by what it can import."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

from belay_py.session.info import BoardInfo, Capabilities

if TYPE_CHECKING:
    from collections.abc import Iterable

    from belay_py.pytest_plugin.candidates import Candidate
    from belay_py.pytest_plugin.wanted import Wanted
    from belay_py.sync import DeviceSession

_FIELDS: Final = frozenset(one.name for one in fields(Capabilities))
# `__import__` gives the first of a dotted name, whose parts need not be modules.
_QUESTION: Final = """\
def f():
 try:
  o=__import__({first!r})
  for n in {rest!r}:o=getattr(o,n)
  print('yes')
 except Exception:print('no')
f()
del f
"""


@dataclass(slots=True)
class Known:
    """What is known of a board: what it said at its first connect, and which capabilities it was asked for."""

    info: BoardInfo
    caps: dict[str, bool] = field(default_factory=dict)

    def look(self, session: DeviceSession, names: Iterable[str]) -> None:
        """Ask the board for the capabilities that nobody has asked it for."""
        for name in names:
            if name in self.caps:
                continue
            if name in _FIELDS:
                self.caps[name] = bool(getattr(self.info.capabilities, name))
            else:
                first, *rest = name.split(".")
                said = session.execute(_QUESTION.format(first=first, rest=tuple(rest))).output
                self.caps[name] = said.strip() == "yes"


def misfit(candidate: Candidate, wanted: Wanted, known: Known | None) -> str | None:
    """Tell why a board does not fit; None where nothing known speaks against it."""
    if wanted.virtual is False and candidate.is_virtual:
        return "is a virtual board"
    lacking = wanted.tags - candidate.options.tags
    if lacking:
        return f"has no tag {_listed(lacking)}"
    if known is None:
        return None
    if wanted.implementation is not None and known.info.implementation != wanted.implementation:
        return f"runs {known.info.implementation}, not {wanted.implementation}"
    lacking = frozenset(name for name in wanted.caps if known.caps.get(name) is False)
    return f"lacks {_listed(lacking)}" if lacking else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
