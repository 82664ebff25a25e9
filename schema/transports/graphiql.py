"""GraphiQL's page."""

from __future__ import annotations

import json
from pathlib import Path

import crm_graph
from schema.examples import EXAMPLES

PAGE = Path(crm_graph.__file__).parent / "templates" / "graphiql.html"


def graphiql_page(endpoint: str, token: str) -> str:
    """GraphiQL with example operations, signed in where there is a token to do so with."""
    config = json.dumps({"endpoint": endpoint, "token": token or None, "examples": EXAMPLES})
    return PAGE.read_text().replace("__CONFIG__", config.replace("<", "\\u003c"))
