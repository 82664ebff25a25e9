"""The rows that operations are asked over: the same in every run and on every database.

Two workspaces have rows with equal ids and other values; half of the second one's ids are its own. Whatever may be null
is so somewhere, values tie, and records, their parents, owners and stages may be deleted.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_graph import models
from crm_graph.access import Viewer
from crm_graph.models import Base, Role, Visibility, types
from crm_graph.models.types import AMOUNT_SCALE, SPLIT

Row = dict[str, Any]
Rows = Mapping[Any, list[Row]]
HERE, THERE = "ws_here", "ws_there"
EPOCH = "epoch"
COUNTS = {
    models.Team: 5,
    models.User: 14,
    models.Membership: 16,
    models.ApiToken: 8,
    models.Pipeline: 4,
    models.Stage: 14,
    models.Product: 9,
    models.Campaign: 12,
    models.Account: 30,
    models.Contact: 40,
    models.Opportunity: 60,
    models.Lead: 24,
    models.ContactRole: 40,
    models.OpportunityLine: 40,
    models.Case: 36,
    models.Activity: 60,
    models.ActivityLink: 130,
    models.Participant: 50,
    models.CampaignMember: 60,
}
COUNTS |= {each: 30 for each in models.ENTITIES.values() if each not in COUNTS}
"""The number of rows of each table, in the order of references."""

UTC = dt.UTC
TIMES = [
    dt.datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    dt.datetime(2020, 2, 29, 12, tzinfo=UTC),
    dt.datetime(2020, 2, 29, 12, 0, 0, 1, tzinfo=UTC),
    dt.datetime(2020, 2, 29, 12, 0, 0, 100_000, tzinfo=UTC),
    dt.datetime(2020, 3, 1, tzinfo=UTC),
    dt.datetime(2999, 1, 1, tzinfo=UTC),  # no run is near enough to any of them to see it pass
    dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
]
DATES = [dt.date(1, 1, 2), dt.date(2020, 2, 29), dt.date(2020, 3, 1), dt.date(9999, 12, 30)]
_AMOUNTS = "0 -1.5 9 10 10.25 0.0001 -0.0001 1000 1234567.8901 99999999999999.9999 -99999999999999.9999"
AMOUNTS = [Decimal(text) for text in _AMOUNTS.split()]
INTEGERS = [0, 1, 2, 9, 10, 100, 1999, 2_147_483_647]
# Letters that fold in odd ways, marks that combine, what JSON, SQL, LIKE and HTML escape, and blanks of many kinds.
_LETTERS = "a A b B Ä ä ς Σ σας ΣΑΣ İ i \u0131 ß ẞ ﬁ x\u0301 x é ǅ 🦊 👩\u200d👧 \U0010ffff \uffff שלום 日本"
_SIGNS = r""" " \" \ \u0041 ' '' % _ a%b a_b / </script> {} null 1e5 -0 $1 :a ? """
_BLANKS = "\u2028\u2029\u0085\u00a0\u200b "
TEXTS = [*_LETTERS.split(" "), *_SIGNS.split(), *(f"x{blank}y" for blank in _BLANKS)]
LONG_TEXTS = ["line\nline", "tab\ttab", "\r\n".join("ab"), "long " * 500 + "end", *TEXTS]
CURRENCIES = ["EUR", "JPY", "USD"]
EMAILS = ["ada@example.com", "Ada@example.com", "ÿ@example.com", "o'neil@example.com", "a%b_c@example.com"]
PHONES = ["+12025550123", "+442079460000", "+12025550123;ext=9"]
RANKS = ["a0", "a0V", "a0v", "a1", "Zz", "b00"]
ADDRESSES = [
    models.Address(None, None, None, None, None),
    models.Address('1 "Main" St\\', "Zürich", None, "8001", "CH"),
    models.Address(postal_code="007", street="x\u2028y"),
]
EMAIL_LISTS = [[], [models.EmailAddress("a@example.com")], [models.EmailAddress(each, "wörk") for each in EMAILS]]
PHONE_LISTS = [[], [models.PhoneNumber("+12025550123", None), models.PhoneNumber("+442079460000", "\\mobile")]]
PROFILES = [[], [models.SocialProfile("linkedin", "https://example.com/a?b=1&c=%20")]]
STATUSES = [
    [models.MemberStatus("SENT"), models.MemberStatus("RESPONDED", True)],
    [models.MemberStatus("Ünited", True)],
]
LISTS: Mapping[Any, list[Any]] = {
    models.EmailAddress: EMAIL_LISTS,
    models.PhoneNumber: PHONE_LISTS,
    models.SocialProfile: PROFILES,
    models.MemberStatus: STATUSES,
}

ROLES = [Role.ADMIN, Role.MANAGER, Role.MANAGER, Role.REP, Role.REP, Role.READ_ONLY, Role.REP]
"""The roles of the first users, who are not deleted. Each but the last reports to the one before."""
OWNED = ("Account", "Lead", "Opportunity", "Case", "Campaign")
DEFAULTS = [
    *([each] * len(OWNED) for each in Visibility),
    [Visibility.PRIVATE, *[Visibility.PUBLIC] * 4],
    [Visibility.PUBLIC, Visibility.PRIVATE, Visibility.PRIVATE, Visibility.PUBLIC_READ, Visibility.PUBLIC],
    [Visibility.PUBLIC_READ, Visibility.PUBLIC, Visibility.PUBLIC, Visibility.PRIVATE, Visibility.PRIVATE],
]
"""Default visibilities of the workspace for viewers, in the order of OWNED."""


@dataclass(frozen=True)
class Who:
    """A viewer of the first workspace: one of its first users with some defaults, or no viewer without a user."""

    user: int | None
    defaults: int = 0

    @property
    def sees_less(self) -> bool:
        """True if records may be hidden from the viewer."""
        return (
            self.user is not None
            and ROLES[self.user] is not Role.ADMIN
            and Visibility.PRIVATE in DEFAULTS[self.defaults]
        )

    def viewer(self, rows: Rows) -> Viewer | None:
        """The viewer, without cached statements or conditions."""
        if self.user is None:
            return None
        user = rows[models.User][self.user]
        defaults = dict(zip(OWNED, DEFAULTS[self.defaults], strict=True))
        workspace = models.Workspace(id=HERE, epoch=EPOCH, currency="USD", visibility_defaults=defaults)
        known = Viewer.of(workspace, models.User(id=user["id"], role=user["role"]), user["id"])
        return Viewer(HERE, known.user_id, known.role, known.actor, known.epoch, known.currency, known.defaults)


@functools.cache
def rows_of(workspace_id: str) -> Rows:
    """All rows of a workspace except derived ones, in an order in which they can be inserted."""
    made: dict[Any, list[Row]] = {}
    for model, count in COUNTS.items():
        numbers = list(range(count))
        Random(model.__tablename__).shuffle(numbers)  # rows do not lie in the order of their ids
        made[model] = []
        unique: set[Any] = set()
        chance = Random(f"{workspace_id} {model.__tablename__}")
        for place, number in enumerate(numbers):
            its_own = "" if workspace_id == HERE or number % 2 else "b"
            row_id = f"{model.prefix}_{number:03}{its_own}"
            for _ in range(50):
                row = _row(chance, model, made, {"workspace_id": workspace_id, "id": row_id}, place)
                keys = _unique(model, row)
                if unique.isdisjoint(keys):
                    unique |= keys
                    made[model].append(row)
                    break
    return made


def _row(chance: Random, model: Any, made: dict[Any, list[Row]], row: Row, place: int) -> Row:
    by_table = {each.__tablename__: rows for each, rows in made.items()}
    for column in model.__table__.columns:
        if column.key in row:
            continue
        target = column.info.get("references")
        empty = place % 5 != 3 if column.key == "deleted_at" else (place + len(row)) % 4 == 0
        if column.nullable and empty:
            row[column.key] = None
        elif target is not None:
            others = [*by_table[target], row] if target == model.__tablename__ else by_table[target]
            gone = [other for other in others if other.get("deleted_at") is not None] if place in {6, 7} else []
            row[column.key] = chance.choice(gone or others)["id"]
        else:
            some = values_of(model, column, place)
            few = min(12, len(some), max(2, COUNTS[model] // 2))
            row[column.key] = chance.choice(Random(f"{model.__name__} {column.key}").sample(some, few))
    _agree(chance, model, made, row, place)
    return row


def values_of(model: Any, column: Any, place: int) -> list[Any]:
    """Possible values of a column; a row gets one of a few, so that rows tie."""
    match column.type:
        case _ if column.key == "token_hash":
            return [f"{model.prefix}{place}"]
        case _ if column.key == "external_id":
            return [f"{'aAäÄ'[place % 4]}{place}"]
        case _ if column.key == "rank":
            return RANKS
        case types.Enum() as kind:
            return list(kind.members)
        case types.Enums() as kind:
            return [[], list(kind.members)[:1], list(kind.members)[::-1]]
        case types.Currency():
            return CURRENCIES
        case types.Email():
            return EMAILS
        case types.Phone():
            return PHONES
        case types.Url():
            return ["https://example.com/", "http://EXAMPLE.com/ä?q=%20&r='\"", "https://b.example"]
        case types.Domain():
            return ["example.com", "bücher.example", "b.example"]
        case types.Text(limit=types.LONG_TEXT):
            return LONG_TEXTS
        case types.Text():
            return TEXTS
        case types.Integer() as kind:
            return [number for number in INTEGERS if kind.minimum <= number <= kind.maximum] or [
                kind.minimum,
                kind.maximum,
            ]
        case types.Amount():
            return AMOUNTS
        case types.Boolean():
            return [False, True]
        case types.Date():
            return DATES
        case types.Time():
            return TIMES
        case types.TextList():
            return [[], ["b", "a"], ['"', "\\", "x\u2028y", "🦊"]]
        case types.Values() as kind:
            return LISTS[kind.kind]
        case types.Value():
            return ADDRESSES
        case _:
            return [{}]


def _agree(chance: Random, model: Any, made: dict[Any, list[Row]], row: Row, place: int) -> None:
    """Make the columns of a row consistent, as the services do."""
    amounts = [each.key for each in model.__table__.columns if isinstance(each.type, types.Amount)]
    if any(row[each] is not None for each in amounts if each != "quantity"):
        row["currency"] = row["currency"] or "EUR"
    match model:
        case models.User:
            row["email"] = row["email"] and f"{place}{row['email'].lower()}"
            row["password_hash"] = None
            if place < len(ROLES):
                above = made[models.User][place - 1]["id"] if 0 < place < len(ROLES) - 1 else None
                row.update(role=ROLES[place], deleted_at=None, active=True, manager_id=above)
            elif place == 9:
                row["manager_id"] = made[models.User][8]["id"]  # who is deleted
        case models.Membership if place < len(ROLES) - 1:
            row.update(user_id=made[models.User][place]["id"], deleted_at=None)
        case models.ApiToken:
            row["token_hash"] = f"{row['workspace_id']} {place}"
            row["user_id"] = made[models.User][8 if place == 0 else place % 4]["id"]
        case models.Case:
            row["number"] = place * 7 % 101
        case models.Stage | models.Pipeline:
            row["position"] = place % 3
        case models.Account | models.Campaign if 1 <= place <= 5:  # a chain, and one that is its own parent
            row["parent_id"] = row["id"] if place == 5 else made[model][place - 1]["id"]
        case models.Opportunity:
            row["pipeline_id"] = next(s["pipeline_id"] for s in made[models.Stage] if s["id"] == row["stage_id"])
        case models.CampaignMember:
            _only(row, chance.choice(("contact_id", "lead_id")), ("contact_id", "lead_id"), made)
        case models.ActivityLink:
            _only(row, chance.choice(models.ActivityLink.TARGETS), models.ActivityLink.TARGETS, made)
        case models.Participant:
            kinds = ("user_id", "contact_id", "lead_id", "email")
            _only(row, chance.choice(kinds), kinds, made)


def _only(row: Row, kept: str, in_array: tuple[str, ...], made: dict[Any, list[Row]]) -> None:
    """Set exactly one of several columns."""
    models_of = {"email": None, **{f"{each.__name__.lower()}_id": each for each in made}}
    model = models_of[kept]
    if row[kept] is None:
        row[kept] = EMAILS[0] if model is None else made[model][0]["id"]
    row.update(dict.fromkeys(set(in_array) - {kept}))


def _unique(model: Any, row: Row) -> set[Any]:
    found = set()
    for constraint in model.__table__.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            values = tuple(row[column.key] for column in constraint.columns)
            if None not in values:
                found.add((str(constraint.name), *values))
    return found


def derived(rows: Rows) -> Rows:
    """The derived rows: reporting lines, totals of stages, and the log rows of the timeline."""
    workspace_id = rows[models.User][0]["workspace_id"]
    managers = {user["id"]: user["manager_id"] for user in rows[models.User]}
    reports = []
    for user_id in managers:
        above, depth = user_id, 0
        while above is not None and depth < len(managers):
            reports.append({"manager_id": above, "user_id": user_id, "depth": depth})
            above, depth = (managers[above] if managers[above] != above else None), depth + 1
    sums: dict[Any, list[int]] = defaultdict(lambda: [0] * 5)
    for deal in rows[models.Opportunity]:
        if deal["deleted_at"] is None:
            units = int((deal["amount"] or 0) * AMOUNT_SCALE)
            currency = "" if deal["amount"] is None else deal["currency"]
            high, low = divmod(units, SPLIT)
            total = sums[deal["stage_id"], currency, deal["owner_id"] or "", deal["team_id"] or ""]
            for place, each in enumerate((1, high, low, high * deal["probability"], low * deal["probability"])):
                total[place] += each
    keys = ("stage_id", "currency", "owner_id", "team_id", "count", "high", "low", "weighted_high", "weighted_low")
    totals = [dict(zip(keys, (*key, *total), strict=True)) for key, total in sums.items()]
    found = {models.ReportingLine: reports, models.StageTotal: totals, models.Change: _changes(rows)}
    return {model: [{"workspace_id": workspace_id, **row} for row in its] for model, its in found.items()}


def _changes(rows: Rows) -> list[Row]:
    told: list[tuple[Any, models.Action, Callable[[Row], Row]]] = [
        (models.Opportunity, models.Action.MOVED, lambda row: {"stage_id": [None, row["stage_id"]]}),
        (models.Case, models.Action.STATUS_CHANGED, lambda row: {"status": ["NEW", row["status"]]}),
        (models.CampaignMember, models.Action.RESPONDED, lambda row: {"status": ["SENT", row["status"]]}),
    ]
    found: list[Row] = []
    for model, action, fields in told:
        for row in rows[model][:8]:
            change = {"entity": model.__name__, "record_id": row["id"], "action": action}
            change |= {"actor": "test", "user_id": row.get("owner_id"), "cause": "test", "fields": fields(row)}
            change |= {"happened_at": TIMES[len(found) % 3], "recorded_at": TIMES[2], "before": {}, "after": {}}
            found.append({**change, "revision": len(found) + 1})
    return found


async def insert_rows(engine: AsyncEngine) -> None:
    """Insert both workspaces into a database."""
    async with engine.begin() as connection:
        for workspace_id in (HERE, THERE):
            rows = rows_of(workspace_id)
            everything = {**rows, **derived(rows)}
            workspace = {"id": workspace_id, "name": "Ünder 'test'", "epoch": EPOCH, "created_at": TIMES[2]}
            workspace |= {"revision": len(everything[models.Change]), "updated_at": TIMES[3]}
            await connection.execute(sa.insert(models.Workspace), [workspace])
            for table in Base.metadata.sorted_tables:
                its = next((its for model, its in everything.items() if model.__table__ is table), None)
                if its:
                    await connection.execute(sa.insert(table), its)
