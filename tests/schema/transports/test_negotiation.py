"""Negotiation of media types and encodings by request headers."""

from __future__ import annotations

import pytest

from schema.transports.negotiation import EVENTS, GZIP, HTML, JSON, RESPONSE, ZSTD, encoding, media_type

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
APOLLO = b"multipart/mixed;incrementalSpec=v0.2, application/graphql-response+json,application/json;q=0.9"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (b"", JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"APPLICATION/JSON; charset=utf-8", JSON),
        (b"application/graphql-response+json", RESPONSE),
        (b"application/json, application/graphql-response+json", RESPONSE),
        (b"application/json, application/graphql-response+json;q=0.9", JSON),
        (b"application/json;q=0.001, application/graphql-response+json;q=0", JSON),
        (b"application/json;q=0, */*", RESPONSE),
        (b"application/graphql-response+json;q=0.5, */*;q=0.8", JSON),
        (b"application/json;q=0.5;q=1, application/*;q=0.7", RESPONSE),
        (APOLLO, RESPONSE),
        (b"text/event-stream", EVENTS),
        (b"text/event-stream, */*", EVENTS),
        (b"text/event-stream, application/json", JSON),
        (b"text/event-stream, application/json;q=0.5", EVENTS),
        (b"text/event-stream;q=0, */*;q=0.1", JSON),
        (b"text/*", None),
        (b"text/html", None),
        (b"*/*;q=0", None),
        (b"application/json;q=0, application/graphql-response+json;q=0.0", None),
        (b"application/json;q=high", None),
        (b"application/json;q=-1, application/graphql-response+json;q=1.5", RESPONSE),
        (b"\xff, ;;, application/jsonx", None),
        (BROWSER, JSON),
        (b"a/b, " * 10_000 + b"application/json", JSON),
    ],
)
def test_the_media_type(accept: bytes, media: str | None) -> None:
    assert media_type(accept) == media


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (BROWSER, HTML),
        (b"text/html", HTML),
        (b"text/html, application/json", JSON),
        (b"text/html;q=0.5, application/json;q=0.4", HTML),
        (b"*/*", JSON),
        (b"", JSON),
        (b"image/png", None),
    ],
)
def test_the_media_type_where_there_is_a_page(accept: bytes, media: str | None) -> None:
    assert media_type(accept, page=True) == media


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"", None),
        (b"identity, br, *", None),
        (b"gzip", GZIP),
        (b"gzip, deflate, br, zstd", ZSTD),
        (b"gzip;q=1.0, zstd;q=0.5", GZIP),
        (b"gzip;q=0, zstd;q=0", None),
        (b"GZIP;q=0.1", GZIP),
        (b"x, " * 10_000 + b"gzip", GZIP),
    ],
)
def test_the_encoding(accept: bytes, coding: str | None) -> None:
    assert encoding(accept) == coding
