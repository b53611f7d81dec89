"""The journal: which boards, sessions, lives and leases there were, and whose. Its file outlives the processes."""

from belay_py.journal.contents import JournalContents, read_journal
from belay_py.journal.journal import Journal
from belay_py.journal.records import (
    BoardRecord,
    LeaseRecord,
    LeftBehind,
    ProcessRecord,
    SessionNote,
    SessionRecord,
)

__all__ = [
    "BoardRecord",
    "Journal",
    "JournalContents",
    "LeaseRecord",
    "LeftBehind",
    "ProcessRecord",
    "SessionNote",
    "SessionRecord",
    "read_journal",
]
