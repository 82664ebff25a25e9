"""The change log: transactions write it, the notifier reports its growth to all processes, and readers follow it.

Only `ChangeLog.transaction` commits. Nothing is published that was not committed.
"""

from __future__ import annotations

from crm_graph.changelog.entries import Entry
from crm_graph.changelog.flush import flush
from crm_graph.changelog.journal import Journal, journal_of
from crm_graph.changelog.log import ChangeRow, RecentChanges, Revision
from crm_graph.changelog.notifier import CHANNEL
from crm_graph.changelog.transaction import ChangeLog, advance

__all__ = [
    "CHANNEL",
    "ChangeLog",
    "ChangeRow",
    "Entry",
    "Journal",
    "RecentChanges",
    "Revision",
    "advance",
    "flush",
    "journal_of",
]
