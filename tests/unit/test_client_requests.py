"""The clients' pure parts: what is sent, what is read, and when it is sent again."""

from __future__ import annotations

import inspect
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_type_hints

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from indexer.domain.ids import is_id
from indexer.wire import EventIn, ItemBody, ItemIn
from recsvc import client, live
from recsvc.client import calls
from recsvc.client.answers import ROWS_MAX, ItemsResult, PendingItem, merged, read_items_result
from recsvc.client.calls import Call
from recsvc.client.connection import Connection
from recsvc.client.errors import Failed, FieldError, NotReached, Refused
from recsvc.client.exchange import (
    PAUSE_MAX_S,
    Outcome,
    Patience,
    Pause,
    Reply,
    Step,
    Try,
    asked_pause,
    exchange,
    next_pause,
)
from recsvc.client.stream import opening, read_message
from recsvc.schemas import events, items, lists, operations, users

CLICK = {"user_id": "ada", "event_type": "click", "item_id": "p1"}
CALL: Call[Any] = Call("GET", "/v1/stats", lambda body: body)
PATIENCE = Patience(timeout_s=5.0, deadline_s=10.0)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
AWAY = httpx.ConnectError("refused")


def body(call: Call[Any]) -> Any:
    assert call.content is not None
    return json.loads(call.content)


class Clock:
    """Time that passes when the exchange pauses or tries."""

    def __init__(self) -> None:
        self.now = 100.0
        self.steps: list[Step] = []

    def __call__(self) -> float:
        return self.now


def lead(outcomes: Iterator[Outcome], clock: Clock, call: Call[Any] = CALL) -> Any:
    """Lead an exchange to its end, in which each try has the next outcome; tries take 1 s."""
    steps, outcome = exchange(call, PATIENCE, clock=clock, draw=lambda: 1.0), None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as done:
            return done.value
        clock.steps.append(step)
        clock.now += step.seconds if isinstance(step, Pause) else 1.0
        outcome = next(outcomes) if isinstance(step, Try) else None


def ok(content: object = "well") -> Reply:
    return Reply(200, {}, json.dumps(content).encode())


def test_importing_the_client_imports_nothing_of_the_service():
    heavy = "fastapi starlette pydantic uvicorn numpy orjson qdrant_client websockets recsvc.app"
    code = f"import sys, recsvc.client; print([m for m in {heavy.split()} if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


def test_both_clients_offer_the_same_calls():
    def calls_of(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in vars(kind).items()
            if not name.startswith("_")
        }

    offered = calls_of(client.AsyncClient)
    del offered["stream"]
    assert offered == calls_of(client.Client)


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        (client.Sent, events.EventsApplied),
        (client.SyncResult, events.SyncResult),
        (client.Recommendations, lists.Recommendations),
        (client.SessionRecommendations, lists.SessionRecommendations),
        (client.SimilarItems, lists.SimilarItems),
        (client.Recommended, lists.Recommended),
        (client.Item, items.ItemOut),
        (client.User, users.UserOut),
        (client.Profile, users.ProfileOut),
        (client.Interest, users.InterestOut),
        (client.Erased, users.Erased),
        (client.Stats, operations.Stats),
        (client.PendingItem, items.PendingItem),
        (client.RejectedItem, items.RejectedItem),
    ],
)
def test_answers_have_the_fields_that_the_service_documents(answer: type, model: type[BaseModel]):
    assert {field.name for field in fields(answer)} == set(model.model_fields)


def test_an_update_has_the_fields_that_the_service_sends():
    sent = set(live.RecommendationUpdate.model_fields) - {"type"}
    assert {field.name for field in fields(client.Update)} == sent


@pytest.mark.parametrize(
    ("params", "model"),
    [
        (client.ListParams, lists.ListParams),
        (client.RankedParams, lists.RankedParams),
        (client.UserParams, lists.UserParams),
        (client.SessionParams, lists.SessionIn),
        (client.Event, EventIn),
        (client.ItemFields, ItemBody),
        (client.NewItem, ItemIn),
    ],
)
def test_parameters_are_those_that_the_service_takes(params: type, model: type[BaseModel]):
    assert set(get_type_hints(params)) == set(model.model_fields)


def test_one_event_or_many_are_sent_as_a_list():
    assert body(calls.send(CLICK, wait=False, timeout_s=2.0))[0].items() >= CLICK.items()
    many = calls.send((CLICK for _ in range(3)), wait=False, timeout_s=2.0)
    assert len(body(many)) == 3


def test_events_without_an_id_get_one_each_and_others_keep_theirs():
    sent = body(calls.send([CLICK, CLICK, {**CLICK, "event_id": "e1"}], wait=False, timeout_s=2.0))
    made = [event["event_id"] for event in sent]
    assert all(map(is_id, made))
    assert len(set(made)) == 3
    assert made[2] == "e1"
    assert "event_id" not in CLICK


def test_waiting_is_asked_for_and_given_its_time():
    call = calls.send(CLICK, wait=True, timeout_s=20.0)
    assert call.params == (("wait", "applied"), ("timeout_s", "20.0"))
    assert call.extra_s == 20.0
    assert calls.send(CLICK, wait=False, timeout_s=20.0).params == ()


def test_parameters_are_written_as_the_service_reads_them():
    call = calls.recommend(
        "ada", {"limit": 3, "filter": ["price<=50", "a=b,c"], "exclude_seen": False, "pin": "p1:1"}
    )
    assert call.path == "/v1/users/ada/recommendations"
    assert call.params == (
        ("limit", "3"),
        ("filter", "price<=50"),
        ("filter", "a=b,c"),
        ("exclude_seen", "false"),
        ("pin", "p1:1"),
    )


def test_parameters_that_are_none_are_left_out():
    params: Any = {"after": None, "limit": 2}
    assert calls.recommend("ada", params).params == (("limit", "2"),)
    assert body(calls.recommend_session({"items": ["p1"], **params})) == {
        "items": ["p1"],
        "limit": 2,
    }


@pytest.mark.parametrize(
    ("item_id", "path"),
    [("a/b?c", "a%2Fb%3Fc"), ("..", "%2E%2E"), (".", "%2E"), ("a.b", "a.b"), ("ä", "%C3%A4")],
)
def test_an_id_is_one_part_of_the_path_whatever_is_in_it(item_id: str, path: str):
    assert calls.get_item(item_id).path == f"/v1/items/{path}"


def test_items_go_in_chunks_of_rows_and_bytes():
    small = [{"item_id": f"p{n}", "features": {}} for n in range(calls.CHUNK_ROWS + 1)]
    large = [{"item_id": "p", "features": {"text": "x" * (calls.CHUNK_BYTES // 3)}}] * 4
    assert [len((call.content or b"").splitlines()) for call in calls.put_items(small)] == [
        calls.CHUNK_ROWS,
        1,
    ]
    assert [len((call.content or b"").splitlines()) for call in calls.put_items(large)] == [2, 2]
    assert list(calls.put_items([])) == []


def test_items_are_taken_one_chunk_at_a_time():
    taken = itertools.count()
    endless = ({"item_id": f"p{next(taken)}", "features": {}} for _ in itertools.count())
    next(calls.put_items(endless))
    assert next(taken) <= calls.CHUNK_ROWS + 1


def test_refused_items_are_counted_from_the_first_of_all():
    rejected = {"line": 2, "item_id": None, "reason": "odd", "new_field": 1}
    answer = {"stored": 1, "unchanged": 0, "pending": [], "rejected": [rejected]}
    result = read_items_result({**answer, "rejected_count": 1}, before=500)
    assert [row.line for row in result.rejected] == [502]
    assert merged(result, result).rejected_count == 2


def test_a_result_lists_so_many_items_and_counts_all():
    half = tuple(PendingItem(item_id=f"p{n}", reason="later") for n in range(ROWS_MAX))
    both = merged(
        ItemsResult(pending=half, pending_count=len(half)),
        ItemsResult(pending=half, pending_count=len(half)),
    )
    assert (len(both.pending), both.pending_count) == (ROWS_MAX, 2 * ROWS_MAX)


def test_moments_are_written_as_iso_8601():
    assert body(calls.send({**CLICK, "timestamp": NOW}, wait=False, timeout_s=1.0))[0][
        "timestamp"
    ] == ("2026-11-28T12:00:00+00:00")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_is_no_json_is_refused_before_it_is_sent(value: object):
    with pytest.raises((ValueError, TypeError)):
        calls.put_item("p1", {"features": {"price": value}})


def test_an_answer_ends_the_exchange():
    clock = Clock()
    assert lead(iter([ok({"a": 1})]), clock) == {"a": 1}
    assert clock.steps == [Try(5.0)]


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_passing_trouble_is_tried_again(status: int):
    assert lead(iter([Reply(status, {}, b""), AWAY, ok()]), Clock()) == "well"


def test_pauses_grow():
    clock = Clock()
    lead(iter([AWAY, AWAY, AWAY, ok()]), clock)
    assert [step.seconds for step in clock.steps if isinstance(step, Pause)] == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422])
def test_a_refusal_is_not_tried_again(status: int):
    with pytest.raises(Refused) as refused:
        lead(iter([Reply(status, {}, b"no")]), Clock())
    assert (refused.value.status, refused.value.detail) == (status, "no")


def test_a_refusal_tells_the_fields_of_the_problem():
    problem = {"detail": "limit: too high", "errors": [{"loc": ["query", "limit"], "msg": "high"}]}
    with pytest.raises(Refused, match="422: limit: too high") as refused:
        lead(iter([Reply(422, {}, json.dumps(problem).encode())]), Clock())
    assert refused.value.errors == (FieldError(("query", "limit"), "high"),)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Reply(503, {}, b'{"detail": "busy"}'), Failed),
        (Reply(429, {}, b""), Refused),
        (AWAY, NotReached),
    ],
)
def test_tries_end_at_the_deadline_with_the_last_error(outcome: Outcome, error: type[Exception]):
    clock = Clock()
    with pytest.raises(error) as raised:
        lead(itertools.repeat(outcome), clock)
    assert clock.now <= 100.0 + PATIENCE.deadline_s + 1.0
    assert len(clock.steps) > 4
    if error is NotReached:
        assert raised.value.__cause__ is AWAY


def test_the_last_try_has_the_time_that_is_left():
    clock = Clock()
    with pytest.raises(NotReached):
        lead(itertools.repeat(AWAY), clock)
    tries = [step.timeout_s for step in clock.steps if isinstance(step, Try)]
    assert tries[0] == 5.0
    assert tries[-1] < 5.0


def test_retry_after_is_waited_for():
    clock = Clock()
    lead(iter([Reply(503, {"retry-after": "3"}, b""), ok()]), clock)
    assert clock.steps[1] == Pause(3.25)


def test_more_patience_than_there_is_ends_the_exchange_at_once():
    clock = Clock()
    with pytest.raises(Failed):
        lead(iter([Reply(503, {"retry-after": "3600"}, b"")]), clock)
    assert clock.steps == [Try(5.0)]


def test_a_call_that_takes_longer_has_more_time():
    clock = Clock()
    lead(iter([ok()]), clock, Call("GET", "/", lambda body: body, extra_s=30.0))
    assert clock.steps == [Try(35.0)]


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b"{}", b"null"])
def test_what_is_not_an_answer_of_the_service_is_a_failure(content: bytes):
    with pytest.raises(Failed, match="not an answer"):
        lead(iter([Reply(200, {}, content)]), Clock(), calls.recommend("ada", {}))


def test_a_redirection_is_a_failure():
    with pytest.raises(Failed):
        lead(iter([Reply(307, {}, b"")]), Clock())


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_no_pause_is_longer_than_the_longest(attempt: int, draw: float):
    assert 0.0 < next_pause(attempt, draw) <= PAUSE_MAX_S


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2.0),
        ("Sat, 28 Nov 2026 12:00:07 GMT", 7.0),
        ("Sat, 28 Nov 2026 11:00:00 GMT", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("²", 0.0),
    ],
)
def test_retry_after_is_read_in_both_its_forms(text: str, seconds: float):
    assert asked_pause({"retry-after": text}, NOW) == seconds


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host", "http://", "http://host:99999", "http://[::1"]
)
def test_an_address_that_is_none_of_http_is_refused(url: str):
    with pytest.raises(ValueError, match="not an address"):
        client.Client(url)


def test_a_key_that_a_header_cannot_carry_is_refused_and_not_told():
    with pytest.raises(ValueError, match="characters") as refused:
        client.Client(api_key="se\ncret")
    assert "se" not in str(refused.value).split()


def test_the_key_is_sent_and_never_shown():
    connection = Connection("https://host/recs/", "secret", 5.0, 15.0, False)
    assert connection.headers == {"Authorization": "Bearer secret"}
    assert connection.place.url == "wss://host/recs/v1/ws"
    assert "secret" not in repr(connection)
    assert "secret" not in repr(connection.place)


def test_a_stream_begins_by_asking_for_what_is_newer():
    assert json.loads(opening("ada", 5, 17)) == {
        "type": "resume",
        "user_id": "ada",
        "sequence": 17,
        "limit": 5,
    }


def test_what_a_stream_sends_is_what_the_service_reads():
    asked = live.read_message(opening("ada", 5, 17))
    assert asked == live.Resume(type="resume", user_id="ada", sequence=17, limit=5)


def test_an_update_is_read_and_other_messages_are_passed_over():
    sent = live.RecommendationUpdate(
        user_id="ada",
        recommendations=[live.Scored(item_id="p1", score=0.5)],
        user_version=3,
        sequence=3,
        strategy="personal",
        timestamp=1.0,
    )
    update = read_message(sent.text(), "ada")
    assert update is not None
    assert update.recommendations == (client.Pushed(item_id="p1", score=0.5),)
    assert update.sequence == 3
    assert read_message(sent.text(), "bob") is None
    assert read_message(live.UpToDate(user_id="ada", sequence=3).text(), "ada") is None
    assert read_message('{"type": "of_the_future"}', "ada") is None


def test_an_error_message_is_a_refusal():
    with pytest.raises(Refused, match="no such thing"):
        read_message('{"type": "error", "message": "no such thing"}', "ada")


@pytest.mark.parametrize("text", ["", "[]", "3", '{"type": "recommendation_update"}', b"\xff"])
def test_a_message_of_something_else_is_a_failure(text: str | bytes):
    with pytest.raises(Failed, match="not a message"):
        read_message(text, "ada")
