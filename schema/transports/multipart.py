"""Incremental delivery for queries with @defer and @stream, as multipart/mixed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import Any

from graphql.execution.types import FormattedCompletedResult, FormattedPendingResult
from starlette.types import ASGIApp, Receive, Scope, Send

from schema.execution.schema import Response, dump_json
from schema.transports.asgi_sender import AsgiSender, ClientDisconnected, body_chunk, wait_for_disconnect
from schema.transports.negotiation import MULTIPART, IncrementalFormat
from schema.transports.operation_service import OperationService

# Clients process a part when its closing boundary arrives, so the boundary is sent with the part.
BOUNDARY = "\r\n---"
PART = "\r\nContent-Type: application/json; charset=utf-8\r\n\r\n"
END = "--\r\n"
LegacyPart = dict[str, object]


class MultipartResponse:
    """Response that sends each incremental result when it is ready. If there is only one, it is sent by
    `single_response`."""

    def __init__(
        self,
        service: OperationService,
        answers: AsyncGenerator[Response],
        how: IncrementalFormat,
        single_response: Callable[[Response], ASGIApp],
    ) -> None:
        self.service, self._answers, self._how, self._whole = service, answers, how, single_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._answers):
            try:
                first = await anext(self._answers)
            except Exception as error:
                first = {"errors": self.service.format_error(error)}
            if not first.get("hasNext"):
                await self._whole(first)(scope, receive, send)
                return
            sending = asyncio.create_task(self._send(first, AsgiSender(send)))
            disconnecting = asyncio.create_task(wait_for_disconnect(receive))
            try:
                await asyncio.wait({sending, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (sending, disconnecting):
                    each.cancel()
                await asyncio.gather(sending, disconnecting, return_exceptions=True)
            if not sending.cancelled():
                sending.result()

    async def _send(self, first: Response, sender: AsgiSender) -> None:
        write: Callable[[Response], object] = (
            LegacyIncrementalFormat() if self._how is IncrementalFormat.APOLLO_2022 else dict
        )
        kind = f'{MULTIPART}; boundary="-"; {self._how.value}'
        headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        with contextlib.suppress(ClientDisconnected):
            await sender.send({"type": "http.response.start", "status": 200, "headers": headers})
            await sender.send(body_chunk(f"{BOUNDARY}{PART}{dump_json(write(first))}{BOUNDARY}"))
            async for part in self._answers:
                await sender.send(body_chunk(f"{PART}{dump_json(write(part))}{BOUNDARY}"))
            await sender.send(body_chunk(END, more=False))


class LegacyIncrementalFormat:
    """Converts incremental results to the format of 2022, in which each result has its own path."""

    def __init__(self) -> None:
        self._pending: dict[str, FormattedPendingResult] = {}
        self._data: Any = None
        """The merged result so far, for the lengths of its lists."""

    def __call__(self, part: Response) -> LegacyPart:
        self._pending |= {each["id"]: each for each in part.get("pending", ())}
        known = {name: value for name, value in part.items() if name not in {"pending", "incremental", "completed"}}
        if "data" in part:
            self._data = part["data"]
            return known
        incremental = [*map(self._data_of, part.get("incremental", ())), *self._failed(part.get("completed", ()))]
        return {**known, "incremental": incremental} if incremental else known

    def _data_of(self, each: Mapping[str, Any]) -> LegacyPart:
        pending = self._pending[each["id"]]
        path = [*pending["path"], *each.get("subPath", ())]
        place, rest = self._at(path), {name: each[name] for name in ("errors", "extensions") if name in each}
        if "items" in each:
            path.append(len(place))
            place.extend(each["items"])
            return {"items": each["items"], "path": path, **_label(pending), **rest}
        _merge(place, each["data"])
        return {"data": each["data"], "path": path, **_label(pending), **rest}

    def _failed(self, completed: Sequence[FormattedCompletedResult]) -> Iterator[LegacyPart]:
        """Results for the parts that failed."""
        for each in completed:
            pending = self._pending.pop(each["id"])
            if "errors" in each:
                path = pending["path"]
                place = self._at(path)
                is_list = isinstance(place, list)
                nothing = {"items": None, "path": [*path, len(place)]} if is_list else {"data": None, "path": path}
                yield {**nothing, **_label(pending), "errors": each["errors"]}

    def _at(self, path: Sequence[str | int]) -> Any:
        place = self._data
        for key in path:
            place = place[key]
        return place


def _label(pending: FormattedPendingResult) -> LegacyPart:
    return {"label": pending["label"]} if "label" in pending else {}


def _merge(place: dict[str, Any], data: dict[str, object]) -> None:
    """Merge deferred data into the result."""
    for key, value in data.items():
        if isinstance(value, dict) and isinstance(place.get(key), dict):
            _merge(place[key], value)
        else:
            place[key] = value
