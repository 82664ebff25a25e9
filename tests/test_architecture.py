"""Rules for the whole tree: its packages and their imports, the tables, the schema's descriptions, and `unscoped`."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp
import pytest
from graphql import get_named_type, is_abstract_type, is_specified_scalar_type

import crm_graph
import loaders
import schema
from crm_graph import migrations
from crm_graph.database import Database

ROOT = Path(__file__).parents[1]
PACKAGES = ("crm_graph", "loaders", "schema")
MAX_MODULE_LINES = 400
EVENT_TYPES = {"ActivityEntry", "AuditEvent", "CaseStatusChange", "MemberResponse", "StageMove"}
"""The types in lists that are not records and have no id."""
UNSCOPED = {
    "loaders.live.lists._still: model": "users who saw a record get its id when it leaves",
    "loaders.live.visibility.load_intermediates: model": "dependent records may be hidden, or just have appeared",
    "loaders.live.visibility.depends_on: model": "dependent records may be hidden, or just have appeared",
    "loaders.accounts.customers._of_account: model": "dependent records may be hidden, or just have appeared",
    "loaders.accounts.customers._affect_customer: Account": "dependent records may be hidden, or just have appeared",
    "auth.principals._with_active_user: ApiToken": "sign-in knows no viewer yet",
    "auth.principals._with_active_user: User": "sign-in knows no viewer yet",
    "auth.sessions._candidates: User": "sign-in knows no viewer yet",
    "auth.tokens.revoke_tokens: ApiToken": "who manages users ends tokens that only their holders see",
    "services.marketing.campaigns._check_used: CampaignMember": "members that the viewer cannot see keep their status",
    "services.marketing.campaigns._members: CampaignMember": "a person has one place in a campaign, "
    "removed ones included",
    "services.importing.lookup_index._load: model": "rows are compared with, and point to, what nobody sees too",
    "services.importing.bulk_writer._differing: model": "an import updates the records that its rows identify",
    "services.importing.bulk_writer._load: model": "an import updates the records that its rows identify",
    "services.sales.opportunities._next_ranks: Opportunity": "unseen cards keep their places",
    "services.sales.leads._latest_campaign: Campaign": "a deal came from its campaign whoever converts the lead",
    "services.sales.leads._latest_campaign: CampaignMember": "a deal came from its campaign whoever converts the lead",
    "services.sales.leads._move_activities: Activity": "a lead takes along what the viewer cannot see",
    "services.sales.leads._move_memberships: CampaignMember": "a person keeps the places that the viewer cannot see",
    "services.sales.opportunities._rank: Opportunity": "unseen cards keep their places",
    "services.sales.opportunities._settle_primary: ContactRole": "a deal has one primary role, unseen ones included",
    "services.sales.opportunities.add_contact_role: ContactRole": "a person has one role in a deal, "
    "removed ones included",
    "services.sales.pipelines.delete: Opportunity": "deals that the viewer cannot see are deals too",
    "records.crud._check_external_id: model": "an external id is taken by unseen and deleted records too",
    "records.crud.check_acyclic: model": "a cycle may pass through unseen records",
    "records.crud.check_acyclic: next_up": "a cycle may pass through unseen records",
    "services.platform.users._check_email: User": "an email is taken by deleted users too",
    "services.platform.users.rebuild_reporting_lines: User": "deleted users stay in the chain",
}
"""Every use of `unscoped`: the function, what it reads, and why."""


@pytest.mark.parametrize("package", [crm_graph, loaders, schema])
def test_packages_are_those_of_this_checkout(package: Any) -> None:
    """PyPI has a `schema` too."""
    assert Path(package.__file__).parents[1] == ROOT


async def test_the_migrations_make_the_tables_that_the_models_say(database_url: str) -> None:
    database = Database(database_url)
    assert await migrations.current(database.reader) == migrations.newest()
    await migrations.check(database.writer)
    await database.close()


def test_everything_in_the_schema_is_described() -> None:
    core: Any = schema.build_schema()._schema
    types = [
        each for name, each in core.type_map.items() if not name.startswith("__") and not is_specified_scalar_type(each)
    ]
    undescribed = [place for each in types for place, description in parts(each) if not (description or "").strip()]

    assert undescribed == []
    assert len(types) > 100


def parts(kind: Any) -> Iterator[tuple[str, str | None]]:
    """Every element of a type that the schema describes, with its description."""
    yield kind.name, kind.description
    for name, field in getattr(kind, "fields", {}).items():
        yield f"{kind.name}.{name}", field.description
        for argument, each in getattr(field, "args", {}).items():
            yield f"{kind.name}.{name}({argument}:)", each.description
    for name, value in getattr(kind, "values", {}).items():
        yield f"{kind.name}.{name}", value.description


def test_what_lists_have_can_be_asked_for_by_id() -> None:
    core: Any = schema.build_schema()._schema
    kinds = {get_named_type(each.fields["node"].type) for name, each in core.type_map.items() if name.endswith("Edge")}
    types = {one for kind in kinds for one in (core.get_possible_types(kind) if is_abstract_type(kind) else [kind])}
    assert {each.name for each in types if not core.is_sub_type(core.type_map["Node"], each)} == EVENT_TYPES
    assert len(types) > 20


def test_every_look_past_the_gate_is_listed_with_its_reason() -> None:
    assert set(looks()) == set(UNSCOPED.items())


def looks() -> Iterator[tuple[str, str]]:
    """Each call of unscoped(): where and on what, and the reason."""
    for path in sources():
        tree = ast.parse(path.read_text())
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("crm_graph.")
        texts = {
            ast.unparse(target): node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
        }
        functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        inside = {node: function.name for function in functions for node in ast.walk(function)}
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "unscoped":
                model, reason = call.args
                place = f"{module}.{inside.get(call, '')}: {ast.unparse(model)}"
                yield place, ast.literal_eval(texts.get(ast.unparse(reason), reason))


def test_no_module_is_too_long_to_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {path: length for path, length in lengths.items() if length > MAX_MODULE_LINES} == {}


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Not even for types alone."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    imports = {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in found if "versions" not in path.parts]
