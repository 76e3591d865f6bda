"""Sending dead letters again, over a log that fails as the test wants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from indexer.dead_letters import Retried, resend_letter, retry_letters
from indexer.domain.events import DEFAULT_WEIGHTS, Event
from indexer.errors import InvalidInput, LogError, NotFound
from indexer.ports import Accepted, DeadLetter

pytestmark = pytest.mark.anyio

CLICK = {"user_id": "ada", "event_type": "click", "item_id": "i1"}


def letter(n: int, **fields: Any) -> DeadLetter:
    """The letter of the event at place ``n``."""
    event = {**CLICK, "event_id": f"e{n}", "timestamp": 1_700_000_000.0, **fields}
    return DeadLetter(f"{n}-0", {1: n}, "t", event, "poison", 1_700_000_100.0)


class Log:
    """A log that counts an event id once, and fails where it is told to."""

    def __init__(self, *letters: DeadLetter) -> None:
        self.letters = {one.letter_id: one for one in letters}
        self.events: dict[tuple[str, str], Event] = {}
        self.appends: list[int] = []
        self.appends_left: int | None = None
        self.drops_fail = False

    async def append(self, events: Sequence[Event]) -> Accepted:
        """All or none of them."""
        if self.appends_left is not None:
            if not self.appends_left:
                raise LogError("away")
            self.appends_left -= 1
        for one in events:
            if len(str(one.metadata)) > 1_000:
                raise InvalidInput("too large")
        self.appends.append(len(events))
        before = len(self.events)
        for one in events:
            known = self.events.setdefault((one.user_id, one.event_id), one)
            assert known == one
            assert one.fingerprint
        new = len(self.events) - before
        return Accepted({}, new, len(events) - new)

    async def dead_letters(self, *, tenant: str | None, limit: int) -> list[DeadLetter]:
        return list(self.letters.values())[:limit]

    async def drop_dead_letters(self, letter_ids: Sequence[str]) -> None:
        if self.drops_fail:
            raise LogError("cannot drop")
        for one in letter_ids:
            del self.letters[one]


async def _retry(log: Any, **more: Any) -> Retried:
    return await retry_letters(log, DEFAULT_WEIGHTS, **more)


async def test_letters_are_sent_and_forgotten_in_batches():
    log = Log(*(letter(n) for n in range(1_200)))
    assert await _retry(log) == Retried(1_200, {})
    assert log.appends == [500, 500, 200]
    assert len(log.events) == 1_200
    assert log.letters == {}


async def test_a_letter_that_could_not_be_forgotten_counts_once_when_it_is_sent_again():
    log = Log(letter(1), letter(2))
    log.drops_fail = True
    told = await _retry(log)
    assert told.sent == 2
    assert set(told.kept) == {"1-0", "2-0"}
    assert told.kept["1-0"] == "sent again, but not forgotten: cannot drop"
    log.drops_fail = False
    assert (await _retry(log)).sent == 2
    assert len(log.events) == 2
    assert log.letters == {}


async def test_a_letter_that_came_back_with_another_id_is_the_same_event():
    log = Log(letter(1))
    await _retry(log)
    back = replace(letter(1), letter_id="99-0", at=1_800_000_000.0)
    log.letters[back.letter_id] = back
    await _retry(log)
    assert len(log.events) == 1


async def test_a_failure_midway_tells_what_was_done_and_the_next_time_does_the_rest():
    log = Log(*(letter(n) for n in range(1_200)))
    log.appends_left = 1
    told = await _retry(log)
    assert told.sent == 500
    assert len(told.kept) == 700
    assert set(told.kept.values()) == {"away"}
    log.appends_left = None
    assert await _retry(log) == Retried(700, {})
    assert len(log.events) == 1_200


async def test_a_log_that_is_away_at_once_is_an_error():
    log = Log(letter(1))
    log.appends_left = 0
    with pytest.raises(LogError):
        await _retry(log)
    assert set(log.letters) == {"1-0"}


async def test_one_that_the_log_has_no_room_for_holds_no_other_up():
    large = {"x": "y" * 2_000}
    log = Log(letter(1), letter(2, metadata=large), letter(3))
    assert await _retry(log) == Retried(2, {"2-0": "too large"})
    assert set(log.letters) == {"2-0"}


async def test_what_is_sent_one_by_one_is_not_told_as_kept_where_the_log_fails_then():
    log = Log(letter(1), letter(2, metadata={"x": "y" * 2_000}), letter(3), letter(4))
    log.appends_left = 3  # all of them, then the first and the second
    told = await _retry(log)
    assert told == Retried(1, {"2-0": "too large", "3-0": "away", "4-0": "away"})
    assert set(log.letters) == set(told.kept)


async def test_a_mended_letter_is_another_event_and_counts_once_as_well():
    log: Any = Log(letter(1))
    log.drops_fail = True
    mended = {**CLICK, "item_id": "i2"}
    for event in (None, mended, mended, None, {**mended, "event_id": "mine"}):
        with pytest.raises(LogError):
            await resend_letter(log, DEFAULT_WEIGHTS, "t", "1-0", event)
    assert [one.item_id for one in log.events.values()] == ["i1", "i2"]
    assert [one.timestamp for one in log.events.values()] == [1_700_000_000.0, 1_700_000_100.0]
    log.drops_fail = False
    await resend_letter(log, DEFAULT_WEIGHTS, "t", "1-0")
    with pytest.raises(NotFound):
        await resend_letter(log, DEFAULT_WEIGHTS, "t", "1-0")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (json.dumps({**CLICK, "event_id": "x", "tenant": "other"}), None),
        ("{", "Invalid JSON"),
        ("[1]", ""),
        (json.dumps({"user_id": "ada"}), "event_type: missing"),
    ],
)
async def test_a_text_of_others_is_read_as_the_event_that_it_should_have_been(
    raw: str, said: str | None
):
    log = Log(replace(letter(1), event={"raw": raw}))
    told = await _retry(log)
    if said is None:
        (sent,) = log.events.values()
        assert (sent.tenant, sent.user_id, sent.timestamp) == ("t", "ada", 1_700_000_100.0)
        assert sent.event_id != "x"
    else:
        assert said in told.kept["1-0"]
        assert log.events == {}
