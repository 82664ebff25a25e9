"""The programs of docs/clients/stitching.md, which make one graph of the server's and those of other teams."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.support.npm import CLIENTS, crm_graph, node_with, run_tests, serving

GATEWAYS = CLIENTS / "gateways"
DOCS = Path(__file__).parents[2] / "docs" / "clients" / "stitching.md"


async def test_gateways(tmp_path: Path) -> None:
    node = await asyncio.to_thread(node_with, GATEWAYS)
    crm_graph("schema", "--federation", "--output", str(tmp_path / "crm.graphql"))
    async with serving(f"sqlite:///{tmp_path}/crm.db", tmp_path, federation=1) as told:
        told["CRM_GRAPH_TEST_SUBGRAPH"] = str(tmp_path / "crm.graphql")
        await asyncio.to_thread(run_tests, GATEWAYS, node, "gateways", told)


@pytest.mark.parametrize("program", ["compose", "apollo", "hive", "stitch"])
def test_what_the_documents_show_is_what_is_tested(program: str) -> None:
    assert f"```js\n{(GATEWAYS / program).with_suffix('.mjs').read_text()}```\n" in DOCS.read_text()


def test_so_are_the_subgraphs() -> None:
    shown = re.findall(r"```graphql\n(extend schema .+?)```", DOCS.read_text(), re.DOTALL)
    tested = (GATEWAYS / "subgraphs.mjs").read_text()

    assert [each in tested for each in shown] == [True, True]
