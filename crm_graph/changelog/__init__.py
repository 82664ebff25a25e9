"""The change log: transactions write it, wake-ups tell that it has grown, readers follow it. Only `transaction`
commits; nothing is published that did not."""

from __future__ import annotations

from crm_graph.changelog.flush import flush
from crm_graph.changelog.journal import Entry, Journal, journal_of
from crm_graph.changelog.log import Revision, Row, Tail
from crm_graph.changelog.notifier import CHANNEL
from crm_graph.changelog.transaction import Feed, advance

__all__ = ["CHANNEL", "Entry", "Feed", "Journal", "Revision", "Row", "Tail", "advance", "flush", "journal_of"]
