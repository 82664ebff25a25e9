"""Every error that this software raises on purpose.

CrmError
├── DomainError                   a rule of the domain is broken; mutations return it in `userErrors`
│   ├── NotFound                  no such record, or not visible to the viewer
│   ├── Forbidden                 visible, but not allowed
│   ├── Invalid                   a value is not valid
│   │   └── Required              a value is missing
│   ├── Duplicate                 another record has the value
│   ├── Conflict                  the record changed meanwhile; carries the current one
│   └── StageRequirementMissing   a stage or a status requires a field that is empty
├── RequestError                  the request as a whole cannot be served; a top-level GraphQL error
│   ├── Unauthenticated
│   ├── PermissionDenied          signed in, but not allowed to make this request
│   ├── BadUserInput              an argument is not valid
│   ├── LimitExceeded             a document exceeds a limit; carries the unit and the maximum
│   ├── CostExceeded              an operation is too expensive; carries its cost and the maximum
│   ├── Throttled                 a rate limit is exceeded; carries the seconds to wait
│   ├── Overloaded                the server's queue is full; carries the seconds to wait
│   ├── TimedOut                  a query took too long and was cancelled
│   ├── PersistedQueryNotFound    no document is stored under this id; the client sends the text
│   ├── PersistedQueriesDisabled  an id was sent, but persisted queries are off
│   ├── PersistedQueryIdRequired  a text was sent, but only trusted documents are served
│   └── ResyncRequired            the log cannot continue from the client's revision; carries the current one
└── ConfigurationError            the configuration is wrong; the message gives the remedy
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar


class Code(enum.StrEnum):
    """A machine-readable error code.

    NOT_FOUND: the record does not exist, or you cannot see it.
    FORBIDDEN: you can see the record, but this change is not allowed.
    INVALID: a value is not valid.
    REQUIRED: a value is missing.
    DUPLICATE: another record has this value.
    CONFLICT: another request changed the record first.
    GATE_CLOSED: a stage or a status requires a field that is empty.
    """

    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    INVALID = "INVALID"
    REQUIRED = "REQUIRED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    GATE_CLOSED = "GATE_CLOSED"


class CrmError(Exception):
    """The root of all errors that are not bugs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class DomainError(CrmError):
    """A broken rule of the domain. `field` is the dotted path of the input's field, in snake case."""

    code: ClassVar[Code]

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field

    def prefixed(self, path: str) -> DomainError:
        """The same error, with `path` before its field."""
        self.field = path if self.field is None else f"{path}.{self.field}"
        return self


class NotFound(DomainError):
    code = Code.NOT_FOUND


class Forbidden(DomainError):
    code = Code.FORBIDDEN


class Invalid(DomainError):
    code = Code.INVALID


class Required(Invalid):
    code = Code.REQUIRED


class Duplicate(DomainError):
    code = Code.DUPLICATE


class Conflict(DomainError):
    """`current` is the record as it is now."""

    code = Code.CONFLICT

    def __init__(self, message: str, field: str | None = None, *, current: object = None) -> None:
        super().__init__(message, field)
        self.current = current


class StageRequirementMissing(DomainError):
    code = Code.GATE_CLOSED


class RequestError(CrmError):
    code: ClassVar[str]


class Unauthenticated(RequestError):
    code = "UNAUTHENTICATED"


class PermissionDenied(RequestError):
    code = "FORBIDDEN"


class BadUserInput(RequestError):
    """`field` is the argument, spelled as in the request."""

    code = "BAD_USER_INPUT"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Throttled(RequestError):
    """`retry_after` is in seconds, or None if unknown. `status` is the state of the rate limiter, if there is one."""

    code = "THROTTLED"

    def __init__(self, message: str, retry_after: float | None = None, status: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.retry_after, self.status = retry_after, status


class LimitExceeded(RequestError):
    """`unit` is the plural noun that `maximum` counts."""

    code = "LIMIT_EXCEEDED"

    def __init__(self, unit: str, maximum: int) -> None:
        super().__init__(f"A document may have at most {maximum} {unit}.")
        self.unit, self.maximum = unit, maximum


class CostExceeded(RequestError):
    code = "COST_EXCEEDED"

    def __init__(self, cost: int, maximum: int) -> None:
        super().__init__(f"This operation costs {cost}; the maximum is {maximum}. Request fewer rows or fewer fields.")
        self.cost, self.maximum = cost, maximum


class Overloaded(RequestError):
    """`retry_after` is in seconds."""

    code = "OVERLOADED"

    def __init__(self, retry_after: float) -> None:
        super().__init__("The server is overloaded. Try again later.")
        self.retry_after = retry_after


class TimedOut(RequestError):
    code = "TIMEOUT"

    def __init__(self) -> None:
        super().__init__("The query timed out. Request less data.")


class PersistedQueryNotFound(RequestError):
    """Apollo's clients look for this code and message, and for those of PersistedQueriesDisabled."""

    code = "PERSISTED_QUERY_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class PersistedQueriesDisabled(RequestError):
    code = "PERSISTED_QUERY_NOT_SUPPORTED"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotSupported")


class PersistedQueryIdRequired(RequestError):
    code = "PERSISTED_QUERY_ID_REQUIRED"

    def __init__(self) -> None:
        super().__init__("This server accepts only trusted documents. Send the id of one.")


class ResyncRequired(RequestError):
    """`revision` is the workspace's current one."""

    code = "RESYNC"

    def __init__(self, message: str, revision: str) -> None:
        super().__init__(message)
        self.revision = revision


class ConfigurationError(CrmError):
    """Raised before a server starts. The message gives the remedy."""
