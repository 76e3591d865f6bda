"""Webhooks and deliveries, and how they are kept as documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

from indexer.domain.ids import point_id
from indexer.stores.webhooks import Document

__all__ = [
    "EVENT_FAILED",
    "TEST",
    "TYPES",
    "UPDATED",
    "Delivery",
    "DeliveryKey",
    "Secret",
    "State",
    "Tally",
    "Type",
    "Webhook",
    "message_id",
    "read_delivery",
    "read_tallies",
    "read_webhook",
]

Type = Literal["recommendations.updated", "event.failed"]
UPDATED: Final = "recommendations.updated"
EVENT_FAILED: Final = "event.failed"
TYPES: Final[tuple[Type, ...]] = (UPDATED, EVENT_FAILED)
TEST: Final = "webhook.test"

State = Literal["waiting", "dead", "replay"]
"""``replay``: a dead letter that is to be sent again, until whoever sends has seen it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What messages are signed with. ``until``: unix seconds at which it ends, if it does."""

    value: str
    until: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Webhook:
    """One endpoint of a tenant.

    ``users``: whom it is told of; None: all. ``limit``: how long its lists are. ``secrets``: the
    newest first. ``start``: the offset by partition of the ``log`` beyond which it is told of
    events; ``started_at``: when that was, in unix seconds.
    """

    webhook_id: str
    tenant: str
    url: str
    types: tuple[Type, ...]
    users: frozenset[str] | None
    limit: int
    secrets: tuple[Secret, ...]
    created_at: float
    started_at: float
    log: str
    start: Mapping[int, int]
    enabled: bool = True
    disabled_reason: str | None = None

    def wants(self, kind: Type, user_id: str) -> bool:
        """Whether it is to be told such a thing of a user."""
        return kind in self.types and (self.users is None or user_id in self.users)

    def keys(self, now: float) -> list[str]:
        """Return the secrets that are good at ``now``, the newest first."""
        return [one.value for one in self.secrets if one.until is None or one.until > now]

    def document(self) -> Document:
        """Return it as it is kept."""
        body = {
            **asdict(self),
            "users": sorted(self.users) if self.users is not None else None,
            "start": {str(partition): offset for partition, offset in self.start.items()},
        }
        labels = {"tenant": self.tenant, "webhook_id": self.webhook_id}
        return Document("webhook", self.webhook_id, body, labels)


class DeliveryKey(NamedTuple):
    """Deliveries of the same key say the same, the later one better."""

    kind: Type
    user_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing that a webhook is still to be told.

    ``since``: when it came to be, ``due_at``: when it is tried next, in unix seconds. A user's list
    is made when it is sent, of all that is folded up to ``offset`` or later; of a failed event,
    ``data`` is what is told. ``message_id``: of the newest try.
    """

    webhook_id: str
    tenant: str
    kind: Type
    user_id: str
    partition: int
    since: float
    due_at: float
    offset: int = 0
    version: int = 0
    event_id: str = ""
    data: Mapping[str, Any] | None = None
    attempts: int = 0
    error: str | None = None
    message_id: str = ""
    state: State = "waiting"
    key: str = field(default_factory=lambda: uuid4().hex)

    @property
    def about(self) -> DeliveryKey:
        """What it says, to a webhook."""
        return DeliveryKey(self.kind, self.user_id, self.event_id)

    def again(self, now: float) -> Delivery:
        """Return it as if it had never been tried, due at once."""
        return replace(self, state="waiting", since=now, due_at=now, attempts=0)

    def document(self) -> Document:
        """Return it as it is kept."""
        labels = {
            "tenant": self.tenant,
            "webhook_id": self.webhook_id,
            "user_id": self.user_id,
            "partition": str(self.partition),
            "state": self.state,
        }
        return Document("delivery", self.key, asdict(self), labels)


@dataclass(slots=True)
class Tally:
    """What came of the deliveries of one webhook, from one partition. ``failed``: tries."""

    delivered: int = 0
    failed: int = 0
    last_delivered_at: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None

    def add(self, other: Tally) -> None:
        """Add what came of others."""
        self.delivered += other.delivered
        self.failed += other.failed
        if (other.last_delivered_at or 0.0) > (self.last_delivered_at or 0.0):
            self.last_delivered_at = other.last_delivered_at
        if (other.last_error_at or 0.0) > (self.last_error_at or 0.0):
            self.last_error, self.last_error_at = other.last_error, other.last_error_at


def message_id(webhook_id: str, *told: str) -> str:
    """Derive a message's id: the same for the same thing told, in whichever try and process."""
    return "msg_" + point_id("message", webhook_id, "\0".join(told)).replace("-", "")


def read_webhook(document: Document) -> Webhook:
    """Undo `Webhook.document`."""
    body = dict(document.body)
    users = body["users"]
    return Webhook(
        **{
            **body,
            "types": tuple(body["types"]),
            "users": frozenset(users) if users is not None else None,
            "secrets": tuple(Secret(**one) for one in body["secrets"]),
            "start": {int(partition): offset for partition, offset in body["start"].items()},
        }
    )


def read_delivery(document: Document) -> Delivery:
    """Undo `Delivery.document`."""
    return Delivery(**document.body)


def read_tallies(document: Document) -> dict[str, Tally]:
    """Read the tallies by webhook from the place of a partition."""
    return {name: Tally(**one) for name, one in document.body["tallies"].items()}
