"""What is told of records that others appended and that are no events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from indexer.domain.ids import DEFAULT_TENANT, is_id
from indexer.ports import EventFailed

__all__ = ["Sender", "failure_of", "sender_of"]


class Sender(NamedTuple):
    """Whose an event is that may be none; "" where it names no user, or has no id of its own."""

    tenant: str
    user_id: str
    event_id: str


def sender_of(event: Mapping[str, Any]) -> Sender:
    """Read what can be trusted of the fields of what may be no event."""
    tenant, user_id, event_id = (_id(event.get(name)) for name in Sender._fields)
    return Sender(tenant or DEFAULT_TENANT, user_id, event_id)


def failure_of(event: Mapping[str, Any], reason: str) -> EventFailed | None:
    """Return what is told of what is no event; None where it does not say whose it is."""
    sender = sender_of(event)
    if not sender.user_id or not sender.event_id:
        return None
    return EventFailed(*sender, reason)


def _id(found: Any) -> str:
    return found if isinstance(found, str) and is_id(found) else ""
