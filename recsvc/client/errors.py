"""Every error that a client raises.

    RecsvcClientError
    ├── Refused       the service says no (4xx): the same call would be refused again
    ├── Failed        it answered, but not with what was asked for (5xx, or not its kind of answer)
    └── NotReached    no answer came before the deadline

Errors of httpx and websockets become these, ``from exc``. What may help to repeat was repeated,
until the deadline, before one is raised.
"""

from __future__ import annotations

from collections.abc import Sequence

from indexer.errors import FieldError

__all__ = ["Failed", "FieldError", "NotReached", "RecsvcClientError", "Refused"]


class RecsvcClientError(Exception):
    """Root of the tree."""


class Refused(RecsvcClientError):
    """The service refuses the call.

    ``status``: the HTTP status; None where a stream's message was refused. ``errors``: the refused
    fields, where the service names them.
    """

    def __init__(self, status: int | None, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail if status is None else f"{status}: {detail}")
        self.status, self.detail, self.errors = status, detail, tuple(errors)


class Failed(RecsvcClientError):
    """The service could not do it, or what answered is not the service."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail


class NotReached(RecsvcClientError):
    """No answer came in time; what was sent may have arrived, and may be sent again."""
