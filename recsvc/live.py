"""Messages of the WebSocket: what clients send, and what they are sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from indexer.errors import FieldError, InvalidInput
from indexer.wire import checked
from indexer.wire_fields import Id

__all__ = [
    "LIMIT_DEFAULT",
    "MESSAGE_MAX",
    "ErrorMessage",
    "Limit",
    "Message",
    "Ping",
    "Pong",
    "RecommendationUpdate",
    "Resume",
    "StreamParams",
    "Subscribe",
    "SyncMessage",
    "Unsubscribe",
    "UpToDate",
    "UserEvent",
    "read_message",
    "update",
]

MESSAGE_MAX: Final = 64 * 1024
"""Bytes of a message from a client."""

LIMIT_DEFAULT: Final = 10
_SHOWN_MAX: Final = 60

Limit = Annotated[int, Field(ge=1, le=100, description="How many items.")]
Featured = Annotated[bool, Field(description="Whether items are told with their features.")]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Subscribe(_In):
    """Push what this user is recommended after each change from now on."""

    type: Literal["subscribe"]
    user_id: Id
    limit: Limit = LIMIT_DEFAULT
    features: Featured = False


class Unsubscribe(_In):
    """Push nothing more of this user."""

    type: Literal["unsubscribe"]
    user_id: Id


class Resume(_In):
    """Subscribe again; tell at once what is newer than what was received last."""

    type: Literal["resume"]
    user_id: Id
    sequence: int = Field(ge=0)
    limit: Limit = LIMIT_DEFAULT
    features: Featured = False


class Ping(_In):
    """Ask whether the connection is alive; whatever else is in it does not matter."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["ping"]


class StreamParams(BaseModel):
    """Parameters of a stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Limit = LIMIT_DEFAULT
    features: Featured = False
    api_key: str | None = Field(None, description="For `EventSource`, which sends no headers.")


@dataclass(frozen=True, slots=True)
class UserEvent:
    """An event; ``body`` is one as for `POST /v1/events`, and is not checked yet."""

    user_id: str
    body: bytes


Message = Subscribe | Unsubscribe | Resume | Ping | UserEvent

_KINDS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "subscribe": TypeAdapter(Subscribe),
    "unsubscribe": TypeAdapter(Unsubscribe),
    "resume": TypeAdapter(Resume),
    "ping": TypeAdapter(Ping),
}
_EVENT: Final = "user_event"


def read_message(text: str) -> Message:
    """Read and check what a client sent.

    Raises:
        InvalidInput: it is no JSON object, of no known type, or names the refused fields.
    """
    try:
        sent = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise InvalidInput(f"not JSON: {exc}") from exc
    if not isinstance(sent, dict):
        raise InvalidInput(f"must be a JSON object, not {str(sent)[:_SHOWN_MAX]!r}")
    kind = sent.pop("type", None)
    if kind == _EVENT:
        return UserEvent(str(sent.get("user_id")), orjson.dumps(sent))
    adapter = _KINDS.get(kind) if isinstance(kind, str) else None
    if adapter is None:
        known = ", ".join([_EVENT, *_KINDS])
        said = f"must be one of {known}, not {str(kind)[:_SHOWN_MAX]!r}"
        raise InvalidInput([FieldError(("type",), said)])
    message: Message = checked(adapter, {"type": kind, **sent})
    return message


class _Out(BaseModel):
    def text(self) -> str:
        """Write it as JSON."""
        return self.model_dump_json(exclude_none=True)


class Scored(BaseModel):
    """One recommended item; with its features where they were asked for."""

    item_id: str
    score: float
    features: dict[str, Any] | None = None


class RecommendationUpdate(_Out):
    """What a user is recommended now.

    ``sequence`` is the user's version: it rises with each change, is stored with the user, and so
    means the same in every process and after every restart. An erased user is at 0 again, and
    begins anew; a client that knows another number than the newest, lower or higher, lacks
    something. Where a new profile or the catalogue changed the list, it comes once more under the
    same number.
    """

    type: Literal["recommendation_update"] = "recommendation_update"
    user_id: str
    recommendations: list[Scored]
    user_version: int
    sequence: int
    strategy: str
    timestamp: float


class UpToDate(_Out):
    """Nothing is newer than what the client has."""

    type: Literal["up_to_date"] = "up_to_date"
    user_id: str
    sequence: int


class SyncMessage(_Out):
    """What became of an event; durable in any case.

    ``recommendations_updated``: whether lists reflect it already.
    """

    type: Literal["sync_result"] = "sync_result"
    success: bool
    latency_ms: float
    recommendations_updated: bool
    event_id: str
    error: str | None = None


class Pong(_Out):
    """The connection is alive."""

    type: Literal["pong"] = "pong"
    timestamp: float = Field(default_factory=time.time)


class ErrorMessage(_Out):
    """A message was refused; the connection stays."""

    type: Literal["error"] = "error"
    message: str


def update(answer: Mapping[str, Any], *, features: bool = False) -> RecommendationUpdate:
    """Make the update that tells a recommender's answer for a user."""
    return RecommendationUpdate(
        user_id=answer["user_id"],
        recommendations=[
            Scored(
                item_id=item["item_id"],
                score=float(item["score"]),
                features=dict(item["features"]) if features else None,
            )
            for item in answer["items"]
        ],
        user_version=answer["user_version"],
        sequence=answer["user_version"],
        strategy=answer["strategy"],
        timestamp=time.time(),
    )
