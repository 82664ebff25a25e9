"""The dataset has all intended edge cases."""

from __future__ import annotations

from collections import Counter

import pytest

from crm_graph import models
from crm_graph.models import Entity
from crm_graph.models.types import Id
from schema.core import TYPES
from tests.support.differential.dataset import COUNTS, HERE, THERE, derived, rows_of

KINDS = [each.__model__ for each in TYPES.values()]


@pytest.mark.parametrize("model", KINDS, ids=lambda each: each.__name__)
def test_every_column_is_sometimes_empty_and_often_equal(model: type[Entity]) -> None:
    rows = rows_of(HERE)[model]
    for column in model.__table__.columns:
        values = Counter(repr(row[column.key]) for row in rows)
        unique = column.key in {"id", "external_id", "number", "email", "token_hash"}
        if column.nullable and column.key not in {"password_hash", "currency"}:
            assert None in {row[column.key] for row in rows}, column
        if not unique:
            assert max(values.values()) > 1, column
    assert 0.1 < sum(row["deleted_at"] is not None for row in rows) / len(rows) < 0.3


def test_records_lead_to_deleted_ones_and_to_themselves() -> None:
    rows = rows_of(HERE)
    deleted = {row["id"] for each in KINDS for row in rows[each] if row["deleted_at"] is not None}
    for model in KINDS:
        for column in model.__table__.columns:
            if isinstance(column.type, Id) and column.info.get("references"):
                living = [row for row in rows[model] if row["deleted_at"] is None]
                assert any(row[column.key] in deleted for row in living), column
    assert any(row["parent_id"] == row["id"] for row in rows[models.Account])


def test_managers_stand_six_deep() -> None:
    assert max(row["depth"] for row in derived(rows_of(HERE))[models.ReportingLine]) >= 5


def test_another_workspace_has_the_same_ids_with_other_values() -> None:
    for model in KINDS:
        here, there = ({row["id"]: row for row in rows_of(each)[model]} for each in (HERE, THERE))
        assert len(here) == COUNTS[model]
        assert 0.35 < len(here.keys() & there.keys()) / len(here) < 0.65
        shared = here.keys() & there.keys()
        assert any({**here[each], "workspace_id": THERE} != there[each] for each in shared)
