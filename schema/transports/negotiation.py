"""Content negotiation by the weights in Accept headers (RFC 9110, section 12.5)."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Mapping

RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENTS = "text/event-stream"
HTML = "text/html"
MULTIPART = "multipart/mixed"
ZSTD = "zstd"
GZIP = "gzip"

MAX_CACHED = 100
MAX_CACHED_LENGTH = 500
_WEIGHT = re.compile(r"[01](\.\d{0,3})?")


class IncrementalFormat(enum.Enum):
    """Format of incremental results; the value is its parameter of multipart/mixed."""

    V0_2 = "incrementalSpec=v0.2"
    APOLLO_2022 = "deferSpec=20220824"


def media_type(accept: bytes, *, page: bool = False) -> str | None:
    """The media type of the response, with `page` possibly HTML; None if the client accepts none of ours.

    Among equal weights, a named type precedes a range, then the order here decides. Clients that accept anything get
    plain JSON.
    """
    return (_media_type if len(accept) <= MAX_CACHED_LENGTH else _media_type.__wrapped__)(accept, page)


def incremental_format(accept: bytes) -> IncrementalFormat | None:
    """The format of incremental results; None if the client does not accept or does not prefer them."""
    found, weights = set(), _weights(accept)
    weight = weights.get(MULTIPART)
    if not weight or weight < max(_weight(weights, each) for each in (RESPONSE, JSON)):
        return None
    for each in accept.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip().replace('"', "") for part in each.split(";"))
        if name != MULTIPART:
            continue
        if IncrementalFormat.APOLLO_2022.value.lower() in parameters:
            found.add(IncrementalFormat.APOLLO_2022)
        elif not any(each.startswith("subscriptionspec=") for each in parameters):
            found.add(IncrementalFormat.V0_2)
    return (
        IncrementalFormat.V0_2 if IncrementalFormat.V0_2 in found else IncrementalFormat.APOLLO_2022 if found else None
    )


def encoding(accept: bytes) -> str | None:
    """The content coding of the response; None for no compression."""
    return (_encoding if len(accept) <= MAX_CACHED_LENGTH else _encoding.__wrapped__)(accept)


@functools.lru_cache(MAX_CACHED)
def _media_type(accept: bytes, page: bool) -> str | None:
    weights = _weights(accept or b"*/*")
    named = [each for each in (RESPONSE, JSON, EVENTS, *([HTML] if page else [])) if each in weights]
    best = max([*named, JSON, RESPONSE], key=lambda each: _weight(weights, each))
    return best if _weight(weights, best) else None


@functools.lru_cache(MAX_CACHED)
def _encoding(accept: bytes) -> str | None:
    weights = _weights(accept)
    best = max(ZSTD, GZIP, key=lambda each: weights.get(each, 0))
    return best if weights.get(best) else None


def _weight(weights: Mapping[str, float], kind: str) -> float:
    """The weight of the most specific matching range."""
    ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((weights[each] for each in ranges if each in weights), 0)


def _weights(header: bytes) -> dict[str, float]:
    """Weights by media range; other parameters are ignored."""
    weights: dict[str, float] = {}
    for each in header.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if name and _WEIGHT.fullmatch(weight):
            weights[name] = max(weights.get(name, 0), min(float(weight), 1))
    return weights
