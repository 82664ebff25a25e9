"""A bar chart of rates: one bar per operation and server, scaled so that each operation's longest has full width."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from load import rounded

WIDTH, LABEL, FIGURE, BAR, GAP, TOP = 720, 110, 90, 18, 22, 58
COLOURS = ["#2f6fde", "#e0873a", "#9a5fc9", "#8c959f"]
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.note { fill: #656d76 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note { fill: #9198a1 } }
"""


def draw(title: str, note: str, rates: Mapping[str, Mapping[str, float]]) -> str:
    """An SVG of {operation: {server: requests a second}}."""
    parts, top = [], TOP
    for operation, servers in rates.items():
        parts.append(_text(0, top + 14, operation, "title"))
        longest = max(servers.values())
        for (server, rate), colour in zip(servers.items(), COLOURS, strict=True):
            width = max(1.0, rate / longest * (WIDTH - 2 * LABEL - FIGURE))
            parts.append(_text(LABEL, top + 14, server))
            parts.append(
                f'<rect x="{2 * LABEL}" y="{top + 2}" width="{width:.1f}" height="{BAR - 4}" rx="2" fill="{colour}"/>'
            )
            parts.append(_text(2 * LABEL + width + 6, top + 14, rounded(rate)))
            top += BAR
        top += GAP
    size = f'viewBox="0 0 {WIDTH} {top - GAP + 4}" width="{WIDTH}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        _text(0, 16, title, "title"),
        _text(0, 36, note, "note"),
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _text(x: float, y: float, text: str, kind: str | None = None) -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{style}>{escape(text)}</text>'
