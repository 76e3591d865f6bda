"""Webhooks over the wire: bodies, and answers as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter

from indexer.wire_fields import Id
from recsvc.webhooks.model import TYPES, Type
from recsvc.webhooks.signing import check_secret

__all__ = [
    "WEBHOOK_USERS_MAX",
    "DeadDeliveries",
    "ReplayIn",
    "Replayed",
    "TestResult",
    "WebhookIn",
    "WebhookList",
    "WebhookMade",
    "WebhookOut",
    "WebhookPatch",
]

WEBHOOK_USERS_MAX: Final = 1_000
_URL_MAX: Final = 2_000
_REPLAYED_MAX: Final = 1_000
_HTTP_URL: Final = TypeAdapter(HttpUrl)


def _url(text: str) -> str:
    try:
        url = _HTTP_URL.validate_python(text)
    except ValueError:
        raise ValueError("an http or https URL is accepted") from None
    if url.username is not None or url.password is not None:
        raise ValueError("a URL without user name and password is accepted")
    if url.fragment is not None:
        raise ValueError("a URL without a fragment is accepted")
    return str(url)


def _unique(types: list[Type]) -> list[Type]:
    return list(dict.fromkeys(types))


Url = Annotated[str, Field(max_length=_URL_MAX), AfterValidator(_url)]
Types = Annotated[list[Type], Field(min_length=1, max_length=10), AfterValidator(_unique)]
Users = Annotated[list[Id], Field(min_length=1, max_length=WEBHOOK_USERS_MAX)]
Limit = Annotated[int, Field(ge=1, le=100, description="How long its lists are.")]
OwnSecret = Annotated[str, AfterValidator(check_secret)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookIn(_In):
    """A webhook to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://shop.example/hooks", "types": ["recommendations.updated"]},
                {"url": "https://shop.example/hooks", "users": ["ada"], "limit": 5},
            ]
        }
    )

    url: Url
    types: Types = Field(default=list(TYPES), description="What it is told; default: everything.")
    users: Users | None = Field(None, description="Whom it is told of; absent: all.")
    limit: Limit = 10
    secret: OwnSecret | None = Field(None, description="Made when absent; `whsec_` and base64.")


class WebhookPatch(_In):
    """What is to be another; what is absent stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    url: Url | None = None
    types: Types | None = None
    users: Users | None = Field(None, description="null: all.")
    limit: Limit | None = None
    enabled: bool | None = Field(None, description="True also begins anew after a 410.")
    rotate_secret: bool = Field(
        False, description="Make a new secret; the one before signs beside it for 24 hours."
    )
    secret: OwnSecret | None = Field(None, description="The new secret, instead of a made one.")


class ReplayIn(_In):
    """Which dead letters are to be sent again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"delivery_ids": ["msg_1f"]}]})

    delivery_ids: Annotated[list[str], Field(max_length=_REPLAYED_MAX)] | None = Field(
        None, description="Absent: all."
    )


class DeliveryState(BaseModel):
    """What came of a webhook's deliveries. `failed`: tries; `waiting`: for a try."""

    delivered: int
    failed: int
    waiting: int
    dead: int
    last_error: str | None
    last_error_at: float | None
    last_delivered_at: float | None


class WebhookBase(BaseModel):
    """A webhook, without its secret."""

    webhook_id: str
    url: str
    types: list[Type]
    users: list[str] | None
    limit: int
    enabled: bool
    disabled_reason: str | None
    created_at: float


class WebhookOut(WebhookBase):
    """A webhook as it is."""

    state: DeliveryState
    secret: str | None = Field(None, description="After it was changed, this once.")


class WebhookMade(WebhookBase):
    """A webhook that was made."""

    secret: str = Field(description="Shown this once.")


class WebhookList(BaseModel):
    """All webhooks of the tenant, oldest first."""

    webhooks: list[WebhookOut]


class DeadDelivery(BaseModel):
    """What was given up."""

    delivery_id: str
    type: str
    user_id: str
    event_id: str | None
    attempts: int
    reason: str
    since: float = Field(description="When it came to be, in unix seconds.")
    died_at: float


class DeadDeliveries(BaseModel):
    """Dead letters, the newest first, at most 1,000."""

    dead_letters: list[DeadDelivery]


class Replayed(BaseModel):
    """How many dead letters wait again."""

    replayed: int


class TestResult(BaseModel):
    """What came of a test message."""

    __test__ = False

    delivered: bool
    delivery_id: str
    status: int | None
    error: str | None
    latency_ms: float
