"""Lines of the log."""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from io import StringIO

import pytest

from crm_graph.errors import ConfigurationError
from crm_graph.observability import logs
from crm_graph.settings import Settings


def line(log_format: str, **failure: object) -> str:
    """The text of a log line of a request."""
    out = StringIO()
    handler = logging.StreamHandler(out)
    setup = logs.config(log_format)
    made = logging.config.DictConfigurator(setup)
    handler.setFormatter(made.configure_formatter(setup["formatters"][log_format]))
    handler.addFilter(logs.RequestContextFilter())
    record = logging.LogRecord("crm_graph", logging.ERROR, "", 0, "It is \ud800 %s", ("odd",), None)
    vars(record).update(created=0.5, msecs=500.0, **failure)
    request, operation = logs.REQUEST_ID.set("abc"), logs.OPERATION.set("List")
    try:
        handler.handle(record)
    finally:
        logs.REQUEST_ID.reset(request)
        logs.OPERATION.reset(operation)
    return out.getvalue()


def test_a_line_in_json() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        told = json.loads(line("json", exc_info=sys.exc_info()))

    assert told.pop("exception").endswith("ValueError: no")
    assert told == {
        "time": "1970-01-01T00:00:00.500000+00:00",
        "level": "ERROR",
        "logger": "crm_graph",
        "message": "It is \ud800 odd",
        "request_id": "abc",
        "operation": "List",
    }


def test_a_line_in_text() -> None:
    assert line("text").endswith(" ERROR crm_graph [abc List] It is \ud800 odd\n")


def test_there_is_no_other_format() -> None:
    assert Settings.from_environment({"CRM_GRAPH_LOG_FORMAT": "json"}).log_format == "json"
    with pytest.raises(ConfigurationError, match=r"^CRM_GRAPH_LOG_FORMAT is 'xml'. Set it to text or json\.$"):
        Settings.from_environment({"CRM_GRAPH_LOG_FORMAT": "xml"})
