"""Every error this software raises on purpose.

CrmError
├── Fault                    a rule of the domain was broken; mutations answer it in `userErrors`
│   ├── NotFound             no such record, or not one the viewer may see
│   ├── Forbidden            seen, but not allowed
│   ├── Invalid              a value that cannot be
│   │   └── Required         a value that must be there
│   ├── Duplicate            a value that another record has already
│   ├── Conflict             somebody else was first; carries the current record
│   └── GateClosed           a stage or a status asks for something that is still empty
├── RequestError             the request as a whole cannot be served; a top-level GraphQL error
│   ├── Unauthenticated
│   ├── Denied               signed in, but not allowed to ask this
│   ├── BadUserInput         an argument that cannot be
│   ├── LimitExceeded        a document that is made of too much; carries of what, and how much may be
│   ├── CostExceeded         an operation that asks for too much; carries what it costs, and what one may cost
│   ├── Throttled            too many tries, or too much at a time; carries the seconds to wait
│   ├── Overloaded           more operations than the server takes at a time; carries the seconds to wait
│   ├── TimedOut             a query that took too long, and was ended
│   ├── NotStored            a document's id that nothing is stored under; the client sends the text
│   ├── StoresNothing        a document's id, where none is looked for
│   ├── IdRequired           a document's text, where only trusted documents are served, by their ids
│   └── Resync               the log cannot lead on from where the client stands; carries where it stands now
└── RefusedToStart           the configuration is wrong; says what to do
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar


class Code(enum.StrEnum):
    """What went wrong, for a program to read.

    NOT_FOUND: there is no such record, or it may not be seen.
    FORBIDDEN: it may be seen, but not changed like this.
    INVALID: a value cannot be.
    REQUIRED: a value is missing.
    DUPLICATE: another record has the value already.
    CONFLICT: somebody else changed the record first.
    GATE_CLOSED: a stage or a status asks for a field that is empty.
    """

    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    INVALID = "INVALID"
    REQUIRED = "REQUIRED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    GATE_CLOSED = "GATE_CLOSED"


class CrmError(Exception):
    """The root: catching it catches everything that is not a bug."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Fault(CrmError):
    """A broken rule of the domain. `field` is the dotted path of the input's field, in snake case."""

    code: ClassVar[Code]

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field

    def inside(self, path: str) -> Fault:
        """The same fault, its field seen from one level further out."""
        self.field = path if self.field is None else f"{path}.{self.field}"
        return self


class NotFound(Fault):
    code = Code.NOT_FOUND


class Forbidden(Fault):
    code = Code.FORBIDDEN


class Invalid(Fault):
    code = Code.INVALID


class Required(Invalid):
    code = Code.REQUIRED


class Duplicate(Fault):
    code = Code.DUPLICATE


class Conflict(Fault):
    """`current` is the record as it stands now."""

    code = Code.CONFLICT

    def __init__(self, message: str, field: str | None = None, *, current: object = None) -> None:
        super().__init__(message, field)
        self.current = current


class GateClosed(Fault):
    code = Code.GATE_CLOSED


class RequestError(CrmError):
    code: ClassVar[str]


class Unauthenticated(RequestError):
    code = "UNAUTHENTICATED"


class Denied(RequestError):
    code = "FORBIDDEN"


class BadUserInput(RequestError):
    """`field` is the argument, as the client wrote it."""

    code = "BAD_USER_INPUT"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Throttled(RequestError):
    """`retry_after` is in seconds, None where nobody knows; `status` tells of the bucket, where there is one."""

    code = "THROTTLED"

    def __init__(self, message: str, retry_after: float | None = None, status: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.retry_after, self.status = retry_after, status


class LimitExceeded(RequestError):
    code = "LIMIT_EXCEEDED"

    def __init__(self, what: str, most: int) -> None:
        super().__init__(f"A document has at most {most} {what}.")
        self.what, self.most = what, most


class CostExceeded(RequestError):
    code = "COST_EXCEEDED"

    def __init__(self, cost: int, most: int) -> None:
        super().__init__(f"This operation costs {cost}, and may cost {most}. Ask for fewer rows, or for less of each.")
        self.cost, self.most = cost, most


class Overloaded(RequestError):
    """`retry_after` is in seconds."""

    code = "OVERLOADED"

    def __init__(self, retry_after: float) -> None:
        super().__init__("The server has more to do than it can. Try again a little later.")
        self.retry_after = retry_after


class TimedOut(RequestError):
    code = "TIMEOUT"

    def __init__(self) -> None:
        super().__init__("The query took too long, and was ended. Ask for less at a time.")


class NotStored(RequestError):
    """Code and message are those that Apollo's clients look for; so are those of StoresNothing."""

    code = "PERSISTED_QUERY_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class StoresNothing(RequestError):
    code = "PERSISTED_QUERY_NOT_SUPPORTED"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotSupported")


class IdRequired(RequestError):
    code = "PERSISTED_QUERY_ID_REQUIRED"

    def __init__(self) -> None:
        super().__init__("Only trusted documents are served here: send the id of one.")


class Resync(RequestError):
    """`revision` is the workspace's current one."""

    code = "RESYNC"

    def __init__(self, message: str, revision: str) -> None:
        super().__init__(message)
        self.revision = revision


class RefusedToStart(CrmError):
    """Raised before a server starts; the message says what to do next."""
