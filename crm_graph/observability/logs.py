"""Log lines with their request and operation."""

from __future__ import annotations

import datetime as dt
import json
import logging
from contextvars import ContextVar
from typing import Any

REQUEST_ID = ContextVar("REQUEST_ID", default="-")
OPERATION = ContextVar("OPERATION", default="-")
TRACE_ID = ContextVar("TRACE_ID", default="")


class RequestContextFilter(logging.Filter):
    """Adds the request, operation and trace ids to each record. Filters nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id, record.operation, record.trace_id = REQUEST_ID.get(), OPERATION.get(), TRACE_ID.get()
        return True


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        context = {name: vars(record).get(name) for name in ("request_id", "operation", "trace_id")}
        line = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in context.items() if value not in {None, "", "-"}},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def config(log_format: str) -> dict[str, Any]:
    """The configuration for `logging.config.dictConfig`. `log_format` is "text" or "json"."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request": {"()": RequestContextFilter}},
        "formatters": {
            "text": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s %(operation)s] %(message)s"},
            "json": {"()": JsonFormatter},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": log_format, "filters": ["request"]}},
        "loggers": {"uvicorn": {"level": "INFO"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }
