"""`POST /v1/events`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from shop import PROBLEM, Shop, chunks, event, fresh, ids, locations, open_shop, refused, until

pytestmark = pytest.mark.anyio

_JSON = {"content-type": "application/json"}
_BODY_MAX = 8 * 1024 * 1024


async def test_an_event_is_answered_202_with_its_id_and_position(shop: Shop) -> None:
    user = fresh()
    answer = await shop.client.post("/v1/events", json=event(user, "garden-01"))
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["duplicates"]) == (1, 0)
    assert len(body["event_ids"]) == 1
    assert isinstance(body["position"], str)


async def test_an_accepted_event_is_in_the_log_when_it_is_answered(shop: Shop) -> None:
    before = await shop.stored_events()
    await shop.client.post("/v1/events", json=event(fresh(), "garden-01"))
    assert await shop.stored_events() == before + 1


async def test_an_accepted_event_survives_a_restart(tmp_path: Path) -> None:
    user = fresh()
    async with open_shop(tmp_path) as shop:
        await shop.client.post("/v1/events", json=event(user, "garden-01", "purchase"))
    async with open_shop(tmp_path, items=False) as shop:
        found = await shop.user(user)
        assert found["event_count"] == 1
        assert (await shop.recommend(user))["strategy"] == "personal"


async def test_an_events_fields_come_back_as_they_were_sent(shop: Shop) -> None:
    user = fresh()
    sent = event(
        user,
        "garden-01",
        "rate",
        event_id=fresh("e"),
        value=4.5,
        timestamp=1_700_000_000.25,
        metadata={"page": {"name": "home", "depth": [1, 2, None, True, "\u0000 ü 🪴"]}},
    )
    await shop.send(sent)
    export = (await shop.client.get(f"/v1/users/{user}/export")).json()
    [logged] = export["events"]
    assert {name: logged[name] for name in sent} == sent


async def test_an_iso_timestamp_is_the_same_moment_as_its_unix_seconds(shop: Shop) -> None:
    user = fresh()
    await shop.send(
        event(user, "garden-01", timestamp="2024-02-03T04:05:06Z"),
        event(user, "garden-02", timestamp="2024-02-03T05:05:06+01:00"),
        event(user, "garden-03", timestamp="2024-02-03T04:05:06"),
    )
    recent = (await shop.user(user))["recent"]
    assert {entry["timestamp"] for entry in recent} == {1_706_933_106.0}


async def test_an_event_without_a_timestamp_happens_now(shop: Shop) -> None:
    user = fresh()
    start = time.time()
    await shop.send(event(user, "garden-01"))
    [entry] = (await shop.user(user))["recent"]
    assert start <= entry["timestamp"] <= time.time()


async def test_a_list_of_1000_events_is_accepted_whole(shop: Shop) -> None:
    user = fresh()
    events = [event(user, f"garden-{n % 15:02d}", "view") for n in range(1000)]
    answer = await shop.client.post("/v1/events", json=events)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1000
    assert len(set(answer.json()["event_ids"])) == 1000
    await shop.recommend(user, after=answer.json()["position"])
    assert (await shop.user(user))["event_count"] == 1000


async def test_a_list_of_1001_events_is_refused_and_nothing_of_it_stored(shop: Shop) -> None:
    before = await shop.stored_events()
    events = [event(fresh(), "garden-01") for _ in range(1001)]
    refused(await shop.client.post("/v1/events", json=events))
    assert await shop.stored_events() == before


async def test_an_empty_list_is_refused(shop: Shop) -> None:
    refused(await shop.client.post("/v1/events", json=[]))


async def test_one_bad_event_refuses_the_list_and_says_which_it_is(shop: Shop) -> None:
    before = await shop.stored_events()
    events = [event(fresh(), "garden-01"), event(fresh(), "garden-02", "rate", value=9)]
    problem = refused(await shop.client.post("/v1/events", json=events))
    assert locations(problem) == [[1, "value"]]
    assert await shop.stored_events() == before


async def test_the_same_event_sent_twice_counts_once(shop: Shop) -> None:
    user = fresh()
    sent = event(user, "garden-01", event_id=fresh("e"))
    first = await shop.send(sent)
    second = await shop.send(sent)
    assert (second["accepted"], second["duplicates"]) == (0, 1)
    assert second["event_ids"] == first["event_ids"]
    assert second["position"] == first["position"]
    assert second["results"][0]["success"] is True
    assert (await shop.user(user))["event_count"] == 1


async def test_the_same_event_twice_in_one_list_counts_once(shop: Shop) -> None:
    user = fresh()
    sent = event(user, "garden-01", event_id=fresh("e"))
    answer = await shop.send(sent, sent, sent)
    assert (answer["accepted"], answer["duplicates"]) == (1, 2)
    assert (await shop.user(user))["event_count"] == 1


async def test_an_old_event_sent_again_counts_once_behind_a_hundred_newer_ones(shop: Shop) -> None:
    user = fresh()
    old = event(user, "garden-01", event_id=fresh("e"))
    await shop.send(old)
    await shop.send(*(event(user, "garden-02", "view") for _ in range(100)))
    await shop.send(old)
    assert (await shop.user(user))["event_count"] == 101


async def test_two_users_may_have_events_of_the_same_id(shop: Shop) -> None:
    one, other, event_id = fresh(), fresh(), fresh("e")
    answer = await shop.send(
        event(one, "garden-01", event_id=event_id), event(other, "garden-02", event_id=event_id)
    )
    assert answer["accepted"] == 2


async def test_the_same_id_with_another_body_conflicts_and_nothing_is_stored(shop: Shop) -> None:
    user, event_id = fresh(), fresh("e")
    await shop.send(event(user, "garden-01", event_id=event_id))
    before = await shop.stored_events()
    answer = await shop.client.post(
        "/v1/events",
        json=[event(user, "sport-01"), event(user, "garden-02", event_id=event_id)],
    )
    problem = refused(answer, 409)
    assert event_id in problem["detail"]
    assert await shop.stored_events() == before
    assert (await shop.user(user))["event_count"] == 1


async def test_waiting_answers_200_with_a_result_for_each_event(shop: Shop) -> None:
    user = fresh()
    answer = await shop.send(event(user, "garden-01"), event(user, "garden-02", "purchase"))
    assert [result["event_id"] for result in answer["results"]] == answer["event_ids"]
    for result in answer["results"]:
        assert result["success"] is True
        assert result["latency_ms"] > 0
        assert result["user_version"] >= 2
        assert result["error"] is None
        assert result["embedding_generated"] is False


async def test_an_event_that_was_waited_for_is_in_the_next_answer(shop: Shop) -> None:
    user = fresh()
    for category in ("garden", "sport", "novels"):
        await shop.send(event(user, f"{category}-03", "purchase"))
        answer = await shop.recommend(user, explain=True, limit=50)
        reasons = [reason for item in answer["items"] for reason in item["reasons"]]
        assert f"{category}-03" in {reason.get("item_id") for reason in reasons}


async def test_a_wait_beyond_its_timeout_answers_202_and_loses_nothing(shop: Shop) -> None:
    user = fresh()
    answer = await shop.client.post(
        "/v1/events",
        json=event(user, fresh("unheard-of")),
        params={"wait": "applied", "timeout_s": 0.05},
    )
    assert answer.status_code == 202
    assert "results" not in answer.json()
    await shop.recommend(user, after=answer.json()["position"])
    assert (await shop.user(user))["event_count"] == 1


async def test_an_event_on_an_unknown_item_folds_once_the_item_is_known(new_shop: Shop) -> None:
    user = fresh()
    answer = await new_shop.client.post("/v1/events", json=event(user, "late", "purchase"))
    await new_shop.recommend(user, after=answer.json()["position"])
    known = await new_shop.user(user)
    assert (known["event_count"], known["waiting"]) == (1, 1)
    assert (await new_shop.recommend(user))["strategy"] == "popular"

    features = {"title": "kettle number 99", "category": "kitchen", "tags": ["cooking", "steel"]}
    await new_shop.put({"item_id": "late", "features": features})

    async def folded() -> bool:
        return (await new_shop.user(user))["waiting"] == 0

    await until(folded)
    assert (await new_shop.user(user))["event_count"] == 1
    answer = await new_shop.recommend(user, limit=5)
    assert answer["strategy"] == "personal"
    assert {item["features"]["category"] for item in answer["items"]} == {"kitchen"}


async def test_item_features_create_an_unknown_item_and_fold_the_event(new_shop: Shop) -> None:
    user = fresh()
    features = {"title": "yoga mat number 77", "category": "sport", "tags": ["fitness"]}
    answer = await new_shop.send(event(user, "brand-new", "purchase", item_features=features))
    assert answer["results"][0]["success"] is True
    assert answer["results"][0]["embedding_generated"] is True
    stored = await new_shop.client.get("/v1/items/brand-new")
    assert stored.json()["features"] == features
    answer = await new_shop.recommend(user, limit=5)
    assert answer["strategy"] == "personal"
    assert {item["features"]["category"] for item in answer["items"]} == {"sport"}


async def test_item_features_of_a_known_item_change_nothing(new_shop: Shop) -> None:
    before = (await new_shop.client.get("/v1/items/garden-01")).json()
    await new_shop.send(event(fresh(), "garden-01", item_features={"category": "weapons"}))
    assert (await new_shop.client.get("/v1/items/garden-01")).json() == before


async def test_a_search_folds_into_the_taste(shop: Shop) -> None:
    user = fresh()
    query = "  Tennis RACKET  fitness team sport "
    answer = await shop.send({"user_id": user, "event_type": "search", "query": query})
    assert answer["results"][0]["success"] is True
    found = await shop.recommend(user, limit=5)
    assert found["strategy"] == "personal"
    assert {item["features"]["category"] for item in found["items"]} == {"sport"}
    assert (await shop.user(user))["counts"] == {"search": 1}


async def test_a_retraction_undoes_an_event(shop: Shop) -> None:
    user, mistake = fresh(), fresh("e")
    await shop.send(event(user, "garden-01", "like"))
    before = await shop.user(user, vectors=True)
    await shop.send(event(user, "sport-01", "purchase", event_id=mistake))
    await shop.send({"user_id": user, "event_type": "retract", "retracts": mistake})
    after = await shop.user(user, vectors=True)
    assert after["event_count"] == before["event_count"]
    assert after["counts"] == before["counts"]
    assert after["version"] > before["version"]
    found = await shop.recommend(user, limit=5, exclude_seen=False)
    assert {item["features"]["category"] for item in found["items"]} == {"garden"}
    long, expected = after["vectors"]["long"], before["vectors"]["long"]
    assert long == pytest.approx(expected, abs=1e-4)


async def test_a_retraction_that_arrives_first_keeps_its_event_from_counting(shop: Shop) -> None:
    user, event_id = fresh(), fresh("e")
    await shop.send({"user_id": user, "event_type": "retract", "retracts": event_id})
    await shop.send(event(user, "sport-01", "purchase", event_id=event_id))
    assert (await shop.user(user))["event_count"] == 0
    assert (await shop.recommend(user))["strategy"] == "popular"


async def test_a_rating_below_three_counts_against(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01", "like"), event(user, "sport-01", "rate", value=1))
    found = await shop.recommend(user, limit=60, exclude_seen=False)
    assert ids(found).index("sport-01") > 30


async def test_late_events_give_the_same_taste_as_punctual_ones(shop: Shop) -> None:
    punctual, late = fresh(), fresh()
    now = time.time()
    moments = [
        (f"{kind}-04", now - days * 86_400.0) for days, kind in ((9, "garden"), (1, "sport"))
    ]
    for item_id, at in moments:
        await shop.send(event(punctual, item_id, "like", timestamp=at))
    for item_id, at in reversed(moments):
        await shop.send(event(late, item_id, "like", timestamp=at))
    one, other = await shop.user(punctual, vectors=True), await shop.user(late, vectors=True)
    for name in ("long", "short"):
        assert one["vectors"][name] == pytest.approx(other["vectors"][name], abs=1e-5)


async def test_an_unknown_type_is_refused_with_the_accepted_ones(shop: Shop) -> None:
    problem = refused(await shop.client.post("/v1/events", json=event(fresh(), "garden-01", "hum")))
    assert locations(problem) == [["event_type"]]
    for name in ("view", "click", "search", "add_to_cart", "purchase", "rate", "like", "dislike"):
        assert name in problem["errors"][0]["msg"]


async def test_an_unknown_type_in_a_list_is_told_with_its_place(shop: Shop) -> None:
    events = [event(fresh(), "garden-01"), event(fresh(), "garden-01", "hum")]
    problem = refused(await shop.client.post("/v1/events", json=events))
    assert locations(problem) == [[1, "event_type"]]


async def test_a_type_with_a_weight_in_the_settings_is_accepted(tmp_path: Path) -> None:
    async with open_shop(tmp_path, event_weights={"wishlist": 1.5}) as shop:
        user = fresh()
        await shop.send(event(user, "garden-01", "wishlist"), event(user, "garden-02"))
        assert (await shop.user(user))["counts"] == {"wishlist": 1, "click": 1}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"user_id": "u", "event_type": "rate", "item_id": "i"}, []),
        ({"user_id": "u", "event_type": "rate", "item_id": "i", "value": 0.5}, ["value"]),
        ({"user_id": "u", "event_type": "rate", "item_id": "i", "value": 5.1}, ["value"]),
        ({"user_id": "u", "event_type": "search"}, []),
        ({"user_id": "u", "event_type": "search", "query": ""}, ["query"]),
        ({"user_id": "u", "event_type": "search", "query": "q", "item_id": "i"}, []),
        ({"user_id": "u", "event_type": "click", "item_id": "i", "query": "q"}, []),
        ({"user_id": "u", "event_type": "click"}, []),
        ({"user_id": "u", "event_type": "retract"}, []),
        ({"event_type": "click", "item_id": "i"}, ["user_id"]),
        ({"user_id": "u", "item_id": "i"}, ["event_type"]),
        ({"user_id": "", "event_type": "click", "item_id": "i"}, ["user_id"]),
        ({"user_id": "a b", "event_type": "click", "item_id": "i"}, ["user_id"]),
        ({"user_id": "u\n", "event_type": "click", "item_id": "i"}, ["user_id"]),
        ({"user_id": "u" * 129, "event_type": "click", "item_id": "i"}, ["user_id"]),
        ({"user_id": "u", "event_type": "click", "item_id": "é"}, ["item_id"]),
        ({"user_id": 7, "event_type": "click", "item_id": "i"}, ["user_id"]),
        ({"user_id": "u", "event_type": "Click", "item_id": "i"}, ["event_type"]),
        ({"user_id": "u", "event_type": "click", "item_id": "i", "timestamp": "soon"}, None),
        ({"user_id": "u", "event_type": "click", "item_id": "i", "timestamp": True}, None),
        ({"user_id": "u", "event_type": "click", "item_id": "i", "timestamp": -1}, None),
        ({"user_id": "u", "event_type": "click", "item_id": "i", "colour": "red"}, ["colour"]),
        ({"user_id": "u", "event_type": "click", "item_id": "i", "metadata": []}, ["metadata"]),
        (
            {"user_id": "u", "event_type": "click", "item_id": "i", "item_features": {"a": {}}},
            ["item_features"],
        ),
        ("a string", []),
        (None, []),
    ],
)
async def test_a_malformed_event_is_refused_with_its_place(
    shop: Shop, body: object, place: list[str] | None
) -> None:
    before = await shop.stored_events()
    problem = refused(await shop.client.post("/v1/events", json=body))
    assert (["timestamp"] if place is None else place) in locations(problem)
    assert await shop.stored_events() == before


async def test_ids_of_128_characters_of_every_accepted_kind_are_accepted(shop: Shop) -> None:
    user = ("aZ09_.:@-" * 15)[:128]
    await shop.send(event(user, "garden-01"))
    assert (await shop.user(user))["event_count"] == 1


async def test_a_timestamp_a_day_ahead_is_refused_and_an_hour_ahead_is_not(shop: Shop) -> None:
    ahead = event(fresh(), "garden-01", timestamp=time.time() + 90_000)
    assert locations(refused(await shop.client.post("/v1/events", json=ahead))) == [["timestamp"]]
    millis = event(fresh(), "garden-01", timestamp=time.time() * 1000)
    refused(await shop.client.post("/v1/events", json=millis))
    await shop.send(event(fresh(), "garden-01", timestamp=time.time() + 3_600))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[{]",
        b'{"user_id": "u", "event_type": "rate", "item_id": "i", "value": NaN}',
        b'{"user_id": "u", "event_type": "rate", "item_id": "i", "value": Infinity}',
        b'{"user_id": "u", "event_type": "rate", "item_id": "i", "value": 1e999}',
        b'{"user_id": "u", "event_type": "click", "item_id": "i", "timestamp": NaN}',
        b'{"user_id": "u", "event_type": "click", "item_id": "i", "metadata": {"a": NaN}}',
        b'{"user_id": "u", "event_type": "click", "item_id": "i", "item_features": {"a": NaN}}',
        b'{"user_id": "u", "event_type": "click", "item_id": "i", "metadata": {"a": "\\ud800"}}',
        b'{"user_id": "u", "event_type": "click", "item_id": "i", "metadata": {"a": "\xff"}}',
        b'{"user_id": "u", "event_type": "click", "item_id": "i", "metadata": {"a": 1'
        + b"0" * 5000
        + b"}}",
        b'{"user_id": "u", "event_type": "click", "item_id": "i", "metadata": {"a": '
        + b"[" * 100
        + b"]" * 100
        + b"}}",
        b"[" * 100_000,
    ],
)
async def test_a_body_that_is_no_proper_json_is_refused(shop: Shop, raw: bytes) -> None:
    before = await shop.stored_events()
    refused(await shop.client.post("/v1/events", content=raw, headers=_JSON))
    assert await shop.stored_events() == before


async def test_a_body_of_8_mib_is_read_and_one_byte_more_is_413(shop: Shop) -> None:
    body = json.dumps(event(fresh(), "garden-01")).encode()
    full = body + b" " * (_BODY_MAX - len(body))
    accepted = await shop.client.post("/v1/events", content=full, headers=_JSON)
    assert accepted.status_code == 202
    refused(await shop.client.post("/v1/events", content=full + b" ", headers=_JSON), 413)


async def test_a_body_beyond_8_mib_of_undeclared_length_is_413(shop: Shop) -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        for piece in chunks(b" " * (_BODY_MAX + 1), 1 << 20):
            yield piece

    answer = await shop.client.post("/v1/events", content=pieces(), headers=_JSON)
    refused(answer, 413)


@pytest.mark.parametrize(
    "params", [{"wait": "soon"}, {"timeout_s": 0}, {"timeout_s": "nan"}, {"sync": "1"}]
)
async def test_a_malformed_parameter_is_refused_and_nothing_stored(
    shop: Shop, params: dict[str, str]
) -> None:
    before = await shop.stored_events()
    problem = refused(
        await shop.client.post("/v1/events", json=event(fresh(), "garden-01"), params=params)
    )
    assert locations(problem) == [["query", next(iter(params))]]
    assert await shop.stored_events() == before


async def test_a_wrong_method_and_an_unknown_path_are_problems_too(shop: Shop) -> None:
    wrong = await shop.client.put("/v1/events")
    assert wrong.status_code == 405
    assert wrong.headers["content-type"] == PROBLEM
    refused(await shop.client.get("/v1/nothing"), 404)
