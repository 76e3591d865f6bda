"""Dead letters: what could not be folded, and what is to be done about it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from recsvc.schemas.strict import Strict

__all__ = ["DeadLetters", "DeadLettersParams", "LetterRetry", "LettersRetried", "LettersRetry"]

_RETRIED_MAX = 1_000


class DeadLettersParams(Strict):
    """Parameters of `GET /v1/dead-letters`."""

    limit: int = Field(100, ge=1, le=1000, description="How many letters, the oldest first.")


class DeadLetterOut(BaseModel):
    """One event that could not be folded. `at`: unix seconds at which it was put aside."""

    letter_id: str
    position: str
    at: float
    reason: str
    event: dict[str, Any] = Field(description="As it was sent; `{raw: text}` where it was no JSON.")


class DeadLetters(BaseModel):
    """The oldest dead letters."""

    dead_letters: list[DeadLetterOut]


class LettersRetry(Strict):
    """Which letters to send again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"letter_ids": ["17", "18"]}, {}]})

    letter_ids: list[str] | None = Field(
        None, max_length=_RETRIED_MAX, description="Absent: all that there are."
    )


class LetterRetry(Strict):
    """What to send in the place of a letter's event."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"event": {"user_id": "ada", "event_type": "click", "item_id": "book-17"}}]
        }
    )

    event: dict[str, Any] | None = Field(
        None,
        description="As for `POST /v1/events`; its event_id does not matter, and it has the "
        "letter's time where it tells none. Absent: as it is.",
    )


class KeptLetter(BaseModel):
    """A letter that stays, and why."""

    letter_id: str
    reason: str


class LettersRetried(BaseModel):
    """How many were sent again, as new events, and which stay, for the log failed or otherwise."""

    retried: int
    kept: list[KeptLetter]
