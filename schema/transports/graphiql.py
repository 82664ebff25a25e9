"""GraphiQL's page."""

from __future__ import annotations

import json
from pathlib import Path

import crm_graph
from schema.transports.graphiql_examples import EXAMPLES

PAGE = Path(crm_graph.__file__).parent / "templates" / "graphiql.html"

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "worker-src": "'self'",
    "connect-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # the editor places its lines by styles
    "font-src": "'self' data:",
    "img-src": "'self' data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
"""What the page may load: nothing from other hosts, and no script that is written into it."""
PAGE_HEADERS = {
    "content-security-policy": "; ".join(f"{name} {sources}" for name, sources in POLICY.items()),
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",  # a token may be in it
}


def graphiql_page(service: str, token: str) -> str:
    """GraphiQL with example operations, signed in where there is a token to do so with."""
    config = json.dumps({"endpoint": service, "token": token or None, "examples": EXAMPLES})
    return PAGE.read_text().replace("__CONFIG__", config.replace("<", "\\u003c"))
