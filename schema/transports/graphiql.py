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
    "style-src": "'self' 'unsafe-inline'",  # the editor positions its lines with inline styles
    "font-src": "'self' data:",
    "img-src": "'self' data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
"""The page loads nothing from other hosts, and no inline scripts."""
PAGE_HEADERS = {
    "content-security-policy": "; ".join(f"{name} {sources}" for name, sources in POLICY.items()),
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",  # the page may hold a token
}


def graphiql_page(service: str, token: str) -> str:
    """GraphiQL with example operations; with a token, it is signed in."""
    config = json.dumps({"endpoint": service, "token": token or None, "examples": EXAMPLES})
    return PAGE.read_text().replace("__CONFIG__", config.replace("<", "\\u003c"))
