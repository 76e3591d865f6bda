"""Every error this project raises on purpose.

    RecsvcError
    ├── SettingsError          a setting is wrong; the start stops
    ├── SchemaMismatch         stored collections do not fit the settings
    ├── DataDirInUse           another process owns the data directory
    ├── AddressUnavailable     the address to serve on is taken
    ├── InvalidInput           what a caller sent is refused; names the fields
    │   └── InvalidVector      a vector of the wrong dimension, not finite, or zero
    ├── NotFound               no such item or user
    ├── EventConflict          a known event_id came with another body
    ├── NotApplied             a position was not folded in time
    ├── ItemNotEmbedded        an item is known, its embedding still to come (retryable)
    ├── LogError               the event log refused or failed (retryable)
    ├── Overloaded             a named bound is reached (retryable)
    ├── ChangesError           other processes cannot be told of changes (retryable)
    ├── StoreError             the vector store refused or failed
    │   └── StoreUnavailable   ... because it could not be reached (retryable)
    └── ProviderError          a model provider answered something unusable
        ├── InputRefused       ... it refuses this input, and would again
        └── ProviderUnavailable  ... or gave nothing usable in time (retryable)
            └── BudgetSpent    no more is to be spent on model calls today (retryable)

Adapters turn foreign errors into these, ``from exc``; nothing else leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "AddressUnavailable",
    "BudgetSpent",
    "ChangesError",
    "DataDirInUse",
    "EventConflict",
    "FieldError",
    "InputRefused",
    "InvalidInput",
    "InvalidVector",
    "ItemNotEmbedded",
    "LogError",
    "NotApplied",
    "NotFound",
    "Overloaded",
    "ProviderError",
    "ProviderUnavailable",
    "RecsvcError",
    "SchemaMismatch",
    "SettingsError",
    "StoreError",
    "StoreUnavailable",
    "unforeseen",
]


class RecsvcError(Exception):
    """Root of the tree. ``retryable``: the same call may succeed later, unchanged."""

    retryable = False


class SettingsError(RecsvcError):
    """A setting is missing, malformed or impossible here."""


class SchemaMismatch(RecsvcError):
    """What is stored was made with other settings; the message says what to do."""


class DataDirInUse(RecsvcError):
    """Another process has the data directory open."""


def unforeseen(exc: Exception) -> bool:
    """Whether an error is none of ours, and its traceback worth having."""
    return not isinstance(exc, RecsvcError)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field: where it is in the input, and why."""

    loc: tuple[str | int, ...]
    msg: str


class AddressUnavailable(RecsvcError):
    """The address to serve on is taken, or not of this machine."""


class InvalidInput(RecsvcError):
    """The caller's input is refused as a whole; nothing of it was stored."""

    def __init__(self, errors: Sequence[FieldError] | str) -> None:
        self.errors = [FieldError((), errors)] if isinstance(errors, str) else list(errors)
        super().__init__("; ".join(f"{_dotted(e.loc)}{e.msg}" for e in self.errors))

    def within(self, place: str | int) -> InvalidInput:
        """Return the same error of a part of a larger input."""
        return InvalidInput([FieldError((place, *e.loc), e.msg) for e in self.errors])


def _dotted(loc: tuple[str | int, ...]) -> str:
    return ".".join(map(str, loc)) + ": " if loc else ""


class InvalidVector(InvalidInput):
    """A vector that must not be stored or searched with."""


class NotFound(RecsvcError):
    """The thing named does not exist."""


class EventConflict(RecsvcError):
    """The same event id of the same user was accepted before with another body.

    ``events``: (user id, event id) of each.
    """

    def __init__(self, events: Sequence[tuple[str, str]]) -> None:
        self.events = list(events)
        named = ", ".join(f"{event_id} of user {user_id}" for user_id, event_id in events[:10])
        super().__init__(f"already accepted with another body: event_id {named}")


class NotApplied(RecsvcError):
    """The awaited position was not folded within the time allowed."""


class ItemNotEmbedded(RecsvcError):
    """The item is known, but its embedding is still to come."""

    retryable = True


class LogError(RecsvcError):
    """The event log failed; what was being appended is not acknowledged."""

    retryable = True


class Overloaded(RecsvcError):
    """A bounded queue is full; nothing was taken."""

    retryable = True


class ChangesError(RecsvcError):
    """What carries notices between processes does not answer."""

    retryable = True


class StoreError(RecsvcError):
    """The vector store refused or failed a call."""


class StoreUnavailable(StoreError):
    """The vector store could not be reached."""

    retryable = True


class ProviderError(RecsvcError):
    """A model provider's reply cannot be used.

    ``fault``: a short name of what is wrong, to count by.
    """

    def __init__(self, message: str, *, fault: str = "error") -> None:
        super().__init__(message)
        self.fault = fault


class InputRefused(ProviderError):
    """The provider refuses this input; the same would be refused again.

    ``too_long``: because it is longer than the model takes.
    """

    def __init__(self, message: str, *, fault: str = "refused", too_long: bool = False) -> None:
        super().__init__(message, fault="too_long" if too_long else fault)
        self.too_long = too_long


class ProviderUnavailable(ProviderError):
    """The provider gave no usable reply in time; the same call may succeed later.

    ``again``: whether it is worth trying at once. ``wait_s``: how long it asked to be left alone.
    """

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        fault: str = "unavailable",
        again: bool = True,
        wait_s: float | None = None,
    ) -> None:
        super().__init__(message, fault=fault)
        self.again, self.wait_s = again, wait_s


class BudgetSpent(ProviderUnavailable):
    """The budget for model calls is used up until the day is over."""

    def __init__(self, message: str) -> None:
        super().__init__(message, fault="budget", again=False)
