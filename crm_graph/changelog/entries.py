"""The entry of one record and transaction in the journal, before it becomes a row of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crm_graph.models import Action


@dataclass
class Entry:
    """`fields` are {name: [old, new]}; `before` and `after` are the record's snapshot columns. All in wire values."""

    entity: str
    record_id: str
    action: Action
    fields: dict[str, Sequence[object]]
    before: dict[str, object]
    after: dict[str, object]
