"""The change log: transactions write it, wake-ups tell that it has grown, readers follow it. Only `transaction`
commits; nothing is published that did not."""

from __future__ import annotations

from crm_graph.feed.feed import Feed, advance
from crm_graph.feed.journal import Entry, Journal, journal_of
from crm_graph.feed.log import Revision, Row, Tail
from crm_graph.feed.updates import flush
from crm_graph.feed.wakeups import CHANNEL

__all__ = ["CHANNEL", "Entry", "Feed", "Journal", "Revision", "Row", "Tail", "advance", "flush", "journal_of"]
