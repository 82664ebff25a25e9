"""Lines of the log, each with the request and the operation that it is about."""

from __future__ import annotations

import datetime as dt
import json
import logging
from contextvars import ContextVar
from typing import Any

REQUEST_ID = ContextVar("REQUEST_ID", default="-")
OPERATION = ContextVar("OPERATION", default="-")
TRACE_ID = ContextVar("TRACE_ID", default="")


class WithRequest(logging.Filter):
    """Keeps all lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id, record.operation, record.trace_id = REQUEST_ID.get(), OPERATION.get(), TRACE_ID.get()
        return True


class AsJson(logging.Formatter):
    """A line is one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        about = {name: vars(record).get(name) for name in ("request_id", "operation", "trace_id")}
        line = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in about.items() if value not in {None, "", "-"}},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def config(log_format: str) -> dict[str, Any]:
    """What logging is set up with: a line is «text» or «json»."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request": {"()": WithRequest}},
        "formatters": {
            "text": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s %(operation)s] %(message)s"},
            "json": {"()": AsJson},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": log_format, "filters": ["request"]}},
        "loggers": {"uvicorn": {"level": "INFO"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }
