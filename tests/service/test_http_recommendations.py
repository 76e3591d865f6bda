"""Recommendations for users and sessions, and similar items."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shop import (
    CATEGORIES,
    ITEMS,
    Shop,
    categories,
    event,
    fresh,
    ids,
    locations,
    open_shop,
    refused,
    until,
)

from indexer.domain.position import read_position, show_position

pytestmark = pytest.mark.anyio

_YEAR_S = 365 * 86_400.0
Features = dict[str, Any]


def _sums(answer: dict[str, Any]) -> bool:
    assert answer["items"]
    return all(
        item["reasons"]
        and sum(reason["contribution"] for reason in item["reasons"])
        == pytest.approx(item["score"], abs=1e-3)
        for item in answer["items"]
    )


def _kinds(answer: dict[str, Any]) -> set[str]:
    return {reason["kind"] for item in answer["items"] for reason in item["reasons"]}


async def test_a_stranger_gets_what_is_popular(shop: Shop) -> None:
    stranger = fresh()
    answer = await shop.recommend(stranger)
    assert answer["user_id"] == stranger
    assert (answer["strategy"], answer["source"], answer["user_version"]) == ("popular", "live", 0)
    assert len(answer["items"]) == 10


async def test_what_many_like_is_recommended_to_strangers_first(new_shop: Shop) -> None:
    await new_shop.send(
        *(event(fresh(), "novels-07", "purchase") for _ in range(5)),
        *(event(fresh(), "sport-03", "purchase") for _ in range(2)),
        event(fresh(), "garden-02", "dislike"),
    )

    async def led() -> bool:
        return ids(await new_shop.recommend(fresh()))[:2] == ["novels-07", "sport-03"]

    await until(led)
    answer = await new_shop.recommend(fresh(), limit=100)
    assert sorted(ids(answer)) == sorted(ITEMS)
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("category", CATEGORIES)
async def test_a_user_gets_more_of_what_they_touched(shop: Shop, category: str) -> None:
    user = fresh()
    await shop.send(event(user, f"{category}-01"), event(user, f"{category}-06", "purchase"))
    answer = await shop.recommend(user, limit=8)
    assert answer["strategy"] == "personal"
    assert answer["user_version"] == 2
    # The other places may go to what the users of other tests took up together.
    assert categories(answer).count(category) >= 6
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


async def test_items_carry_their_features(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01"))
    for item in (await shop.recommend(user))["items"]:
        assert item["features"] == ITEMS[item["item_id"]]
        assert item["reasons"] == []


async def test_what_was_touched_is_not_recommended_again(shop: Shop) -> None:
    user = fresh()
    touched = {"garden-01", "garden-02", "sport-03"}
    await shop.send(*(event(user, item_id, "view") for item_id in touched))
    answer = await shop.recommend(user, limit=100)
    assert sorted(ids(answer)) == sorted(set(ITEMS) - touched)


async def test_what_was_touched_leads_when_it_is_not_excluded(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "garden-01", "purchase"))
    answer = await new_shop.recommend(user, exclude_seen="false", profile_weight=0)
    assert ids(answer)[0] == "garden-01"
    assert answer["items"][0]["score"] == pytest.approx(1.0, abs=1e-3)


async def test_a_user_of_one_dislike_is_not_led_by_it(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01", "dislike"))
    assert (await shop.recommend(user))["strategy"] == "popular"


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        (["category=novels"], lambda f: f["category"] == "novels"),
        (["category=novels,sport"], lambda f: f["category"] in ("novels", "sport")),
        (["category!=garden"], lambda f: f["category"] != "garden"),
        (["category!=garden,novels"], lambda f: f["category"] not in ("garden", "novels")),
        (["price=25"], lambda f: f["price"] == 25),
        (["price=25,30"], lambda f: f["price"] in (25, 30)),
        (["price!=25"], lambda f: f["price"] != 25),
        (["price<=50"], lambda f: f["price"] <= 50),
        (["price<50"], lambda f: f["price"] < 50),
        (["price>=50"], lambda f: f["price"] >= 50),
        (["price>50"], lambda f: f["price"] > 50),
        (["price<=2.5e1"], lambda f: f["price"] <= 25),
        (["tags~gift"], lambda f: "gift" in f["tags"]),
        (["tags=gift"], lambda f: "gift" in f["tags"]),
        (["tags~gift,steel"], lambda f: bool({"gift", "steel"} & set(f["tags"]))),
        (["tags!=gift"], lambda f: "gift" not in f["tags"]),
        (["in_stock=true"], lambda f: f["in_stock"]),
        (["in_stock=false"], lambda f: not f["in_stock"]),
        (["in_stock!=true"], lambda f: not f["in_stock"]),
        (
            ["category=sport", "price>10", "price<=40", "in_stock=true"],
            lambda f: f["category"] == "sport" and 10 < f["price"] <= 40 and f["in_stock"],
        ),
        (["category=sport", "category=novels"], lambda f: False),
    ],
)
async def test_a_filter_lets_exactly_the_matching_items_through(
    shop: Shop, filters: list[str], holds: Callable[[Features], bool]
) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01", "purchase"))
    expected = sorted(item_id for item_id, features in ITEMS.items() if holds(features))
    personal = await shop.recommend(user, limit=100, exclude_seen=False, filter=filters)
    assert sorted(ids(personal)) == expected
    varied = await shop.recommend(
        user, limit=100, exclude_seen=False, filter=filters, diversity=0.5
    )
    assert sorted(ids(varied)) == expected
    popular = await shop.recommend(fresh(), limit=100, filter=filters)
    assert sorted(ids(popular)) == expected
    session = await shop.session(items=["garden-01"], limit=100, filter=filters)
    assert sorted(ids(session)) == sorted(set(expected) - {"garden-01"})
    similar = await shop.client.get(
        "/v1/items/garden-01/similar", params={"limit": 100, "filter": filters}
    )
    assert sorted(ids(similar.json())) == sorted(set(expected) - {"garden-01"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "category",
        "=novels",
        "category=",
        "category=novels,,sport",
        "category<novels",
        "price<=cheap",
        "price<=nan",
        "price<=10,20",
        "price~10",
        "in_stock=maybe",
        "in_stock>true",
        "flavour=sweet",
        "title=kettle",
    ],
)
async def test_a_filter_that_cannot_be_is_refused(shop: Shop, text: str) -> None:
    answer = await shop.client.get(
        f"/v1/users/{fresh()}/recommendations", params={"filter": [text]}
    )
    problem = refused(answer)
    assert locations(problem)[0][-1] == "filter"


async def test_an_unknown_feature_is_refused_with_those_that_can_be_filtered_by(
    shop: Shop,
) -> None:
    params = {"filter": "flavour=sweet"}
    answer = await shop.client.get(f"/v1/users/{fresh()}/recommendations", params=params)
    for name in ("category", "price", "tags", "in_stock"):
        assert name in refused(answer)["detail"]


async def test_a_value_may_hold_an_escaped_comma(new_shop: Shop) -> None:
    await new_shop.put({"item_id": "salt", "features": {"category": "salt, coarse"}})
    answer = await new_shop.recommend(fresh(), filter="category=salt\\, coarse")
    assert ids(answer) == ["salt"]


async def test_excluded_items_are_left_out(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01"))
    params = {"exclude": ["garden-02", "garden-03,garden-04"], "limit": 100}
    expected = set(ITEMS) - {f"garden-0{n}" for n in (1, 2, 3, 4)}
    assert set(ids(await shop.recommend(user, **params))) == expected
    assert set(ids(await shop.recommend(fresh(), **params))) == expected | {"garden-01"}


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_a_limit_within_its_bounds_is_kept(shop: Shop, limit: int) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01"))
    expected = min(limit, len(ITEMS) - 1)
    assert len((await shop.recommend(user, limit=limit))["items"]) == expected
    assert len((await shop.recommend(fresh(), limit=limit))["items"]) == min(limit, len(ITEMS))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", 0),
        ("limit", 101),
        ("limit", "many"),
        ("diversity", -0.1),
        ("diversity", 1.1),
        ("diversity", "nan"),
        ("profile_weight", 1.5),
        ("profile_weight", "inf"),
        ("exclude_seen", "perhaps"),
        ("explain", "why"),
        ("cursor", "xyz"),
        ("cursor", "é"),
        ("cursor", "!!!!"),
        ("after", "yesterday"),
        ("after", "-1"),
        ("after", "9" * 30),
        ("colour", "red"),
    ],
)
async def test_a_parameter_out_of_bounds_is_refused(shop: Shop, name: str, value: object) -> None:
    answer = await shop.client.get(f"/v1/users/{fresh()}/recommendations", params={name: value})
    assert locations(refused(answer))[0][-1] == name


async def test_a_user_id_that_is_none_is_refused(shop: Shop) -> None:
    answer = await shop.client.get("/v1/users/a%20b/recommendations")
    assert locations(refused(answer)) == [["path", "user_id"]]


async def _pages(ask: Callable[[str | None], Any]) -> list[dict[str, Any]]:
    pages, cursor = list[list[dict[str, Any]]](), None
    while True:
        answer = await ask(cursor)
        pages.append(answer["items"])
        cursor = answer["next_cursor"]
        if cursor is None or len(pages) > 30:
            return [item for page in pages for item in page]


def _names(items: list[dict[str, Any]]) -> list[str]:
    return sorted(item["item_id"] for item in items)


@pytest.mark.parametrize("diversity", [0, 0.5])
async def test_pages_are_disjoint_and_together_the_whole_list(shop: Shop, diversity: float) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01"), event(user, "sport-01"))
    await shop.counted()
    params = {"diversity": diversity, "limit": 7}
    pages = await _pages(
        lambda cursor: shop.recommend(user, **params, **({"cursor": cursor} if cursor else {}))
    )
    assert _names(pages) == sorted(set(ITEMS) - {"garden-01", "sport-01"})
    if diversity == 0:
        whole = await shop.recommend(user, limit=100)
        scores = [item["score"] for item in whole["items"]]
        assert [item["score"] for item in pages] == pytest.approx(scores, abs=1e-5)


async def test_popular_pages_are_disjoint_and_together_the_whole_list(shop: Shop) -> None:
    stranger = fresh()
    pages = await _pages(
        lambda cursor: shop.recommend(stranger, limit=11, **({"cursor": cursor} if cursor else {}))
    )
    assert _names(pages) == sorted(ITEMS)


async def test_pages_of_similar_items_and_of_sessions_are_disjoint(shop: Shop) -> None:
    async def similar(cursor: str | None) -> dict[str, Any]:
        params = {"limit": 20, **({"cursor": cursor} if cursor else {})}
        return (await shop.client.get("/v1/items/sport-02/similar", params=params)).json()

    async def session(cursor: str | None) -> dict[str, Any]:
        return await shop.session(items=["sport-02"], limit=20, cursor=cursor)

    for ask in (similar, session):
        assert _names(await _pages(ask)) == sorted(set(ITEMS) - {"sport-02"})


async def test_varied_pages_of_a_large_catalogue_are_disjoint(tmp_path: Path) -> None:
    async with open_shop(tmp_path, embedding_dim=64) as shop:
        await shop.put(
            *(
                {"item_id": f"x-{n}", "features": {"title": f"thing {n} {n * 7919 % 1000}"}}
                for n in range(400)
            )
        )
        user = fresh()
        await shop.send(event(user, "x-7"), event(user, "garden-01"))
        pages, cursor = [], None
        for _ in range(5):
            page = await shop.recommend(
                user, limit=50, diversity=0.6, **({"cursor": cursor} if cursor else {})
            )
            cursor = page["next_cursor"]
            pages += ids(page)
        assert len(pages) == 250
        assert len(set(pages)) == 250


async def test_diversity_changes_the_order_and_brings_other_categories(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01", "purchase"))
    near = await shop.recommend(user, limit=10)
    varied = await shop.recommend(user, limit=10, diversity=0.9)
    assert ids(near) != ids(varied)
    assert ids(near)[0] == ids(varied)[0]
    assert len(set(categories(varied))) > len(set(categories(near)))


async def test_reasons_sum_to_the_score_before_and_after_the_profile_is_made(shop: Shop) -> None:
    user = fresh()
    await shop.send(
        event(user, "garden-01", "purchase"),
        event(user, "novels-02", "rate", value=5),
        event(user, "sport-02", "dislike"),
        {"user_id": user, "event_type": "search", "query": "flower pot"},
    )
    assert _sums(await shop.recommend(user, explain=True, limit=60))
    await shop.profile(user)
    answer = await shop.recommend(user, explain=True, limit=60)
    assert _sums(answer)
    assert {"event", "profile"} <= _kinds(answer)
    assert _sums(await shop.recommend(user, explain=True, limit=60, diversity=0.5))


async def test_reasons_of_a_short_history_name_all_of_the_score(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "garden-01", "purchase"), event(user, "novels-02"))
    answer = await new_shop.recommend(user, explain=True, profile_weight=0)
    assert "event" in _kinds(answer) <= {"event", "together", "popular", "hot", "history"}
    assert _sums(answer)
    assert {r["item_id"] for i in answer["items"] for r in i["reasons"]} <= {
        "garden-01",
        "novels-02",
    }


async def test_reasons_of_a_long_history_sum_to_the_score(shop: Shop) -> None:
    user = fresh()
    now = time.time()
    await shop.send(
        *(
            event(user, item_id, "view", timestamp=now - 3_600.0 * n)
            for n, item_id in enumerate([*ITEMS, *ITEMS][:90])
        )
    )
    assert _sums(await shop.recommend(user, explain=True, exclude_seen=False, limit=100))


async def test_reasons_of_popular_similar_and_session_items_sum_to_the_score(shop: Shop) -> None:
    await shop.send(event(fresh(), "kitchen-01", "purchase"))
    popular = await shop.recommend(fresh(), explain=True)
    assert _kinds(popular) == {"popular", "explore"}
    assert _sums(popular)
    similar = await shop.client.get("/v1/items/sport-02/similar", params={"explain": True})
    assert _sums(similar.json())
    session = await shop.session(
        items=["garden-01"],
        negative_items=["sport-01"],
        text="whisk",
        weights={"category=novels": 0.5, "tags=gift": -0.2},
        explain=True,
        limit=50,
    )
    assert {"item", "text", "weight"} <= _kinds(session)
    assert _sums(session)


async def test_a_profile_appears_after_the_events_and_shows_in_the_reasons(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "kitchen-01", "purchase"), event(user, "kitchen-02", "purchase"))
    first = await shop.recommend(user)
    assert first["degraded"] in (["profile"], [])
    profile = await shop.profile(user)
    assert profile["weights"]["category=kitchen"] > 0
    assert all(-1 <= weight <= 1 for weight in profile["weights"].values())
    assert set(profile) == {"weights", "summary", "model", "updated_at", "cost_usd", "evidence"}
    answer = await shop.recommend(user, explain=True)
    assert answer["degraded"] == []
    features = {
        reason["feature"]
        for item in answer["items"]
        for reason in item["reasons"]
        if reason["kind"] == "profile"
    }
    assert "category=kitchen" in features
    interests = (await shop.user(user))["interests"]
    assert "category=kitchen" in interests


async def test_a_profile_weight_of_zero_leaves_no_reason_of_the_profile(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "kitchen-01", "purchase"))
    await shop.profile(user)
    answer = await shop.recommend(user, explain=True, profile_weight=0)
    assert "event" in _kinds(answer) <= {"event", "together", "popular", "hot", "history"}
    assert answer["degraded"] == []


async def test_a_profile_weight_of_one_leaves_reasons_of_the_profile_only(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "kitchen-01", "purchase"))
    await shop.profile(user)
    answer = await shop.recommend(user, explain=True, profile_weight=1)
    assert "event" not in _kinds(answer)
    assert _sums(answer)


async def test_the_same_question_is_answered_from_the_cache(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01"))
    await shop.profile(user)
    first = await shop.recommend(user, limit=5)
    second = await shop.recommend(user, limit=5)
    assert (first["source"], second["source"]) == ("live", "cache")
    assert second["items"] == first["items"]
    assert second["generated_at"] == first["generated_at"]
    other = await shop.recommend(user, limit=6)
    assert other["source"] == "live"


async def test_no_answer_comes_from_the_cache_after_a_new_event(shop: Shop) -> None:
    user = fresh()
    for n in range(20):
        sent = await shop.send(event(user, f"garden-{n % 15:02d}", "view"))
        answer = await shop.recommend(user, limit=100)
        assert answer["source"] == "live"
        assert answer["user_version"] == sent["results"][0]["user_version"] == n + 1
        assert f"garden-{n % 15:02d}" not in ids(answer)


async def test_no_answer_comes_from_the_cache_after_a_change_of_the_catalogue(
    new_shop: Shop,
) -> None:
    user = fresh()
    await new_shop.send(event(user, "garden-01"))
    first = ids(await new_shop.recommend(user))[0]
    await new_shop.client.delete(f"/v1/items/{first}")
    answer = await new_shop.recommend(user)
    assert answer["source"] == "live"
    assert first not in ids(answer)


async def test_a_cache_that_is_off_answers_live(tmp_path: Path) -> None:
    async with open_shop(tmp_path, cache_enabled=False) as shop:
        user = fresh()
        await shop.send(event(user, "garden-01"))
        assert [(await shop.recommend(user))["source"] for _ in range(3)] == ["live"] * 3


async def test_after_a_position_the_answer_reflects_the_event(shop: Shop) -> None:
    user = fresh()
    for n in range(10):
        sent = await shop.client.post("/v1/events", json=event(user, f"sport-{n:02d}", "view"))
        answer = await shop.recommend(user, after=sent.json()["position"], limit=100)
        assert answer["user_version"] == n + 1
        (told,) = read_position(answer["position"]).items()
        (wanted,) = read_position(sent.json()["position"]).items()
        assert told >= wanted
        assert f"sport-{n:02d}" not in ids(answer)


async def test_an_answers_position_can_be_waited_for(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "sport-01"))
    for who in (user, fresh()):
        position = (await shop.recommend(who))["position"]
        assert (await shop.recommend(who, after=position))["items"]


async def test_a_position_beyond_the_end_of_the_log_is_409(shop: Shop) -> None:
    sent = await shop.send(event(fresh(), "sport-01"))
    ((partition, offset),) = read_position(sent["position"]).items()
    beyond = show_position({partition: offset + 2**40})
    answer = await shop.client.get(f"/v1/users/{fresh()}/recommendations", params={"after": beyond})
    refused(answer, 409)


async def test_items_are_recommended_within_their_window_only(new_shop: Shop) -> None:
    now = time.time()
    windows = {
        "w-open": {"available_from": now - 100, "available_until": now + 100},
        "w-from": {"available_from": now - 100},
        "w-until": {"available_until": now + 100},
        "w-future": {"available_from": now + 100},
        "w-past": {"available_until": now - 100},
        "w-iso-past": {"available_until": "2020-01-01T00:00:00Z"},
    }
    features = {"title": "spade number 5", "category": "garden", "tags": ["outdoor", "plants"]}
    result = await new_shop.put(
        *({"item_id": name, "features": features, **window} for name, window in windows.items())
    )
    assert result["stored"] == len(windows)
    user = fresh()
    await new_shop.send(event(user, "garden-01"))
    current = {"w-open", "w-from", "w-until"}
    similar = await new_shop.client.get("/v1/items/garden-01/similar", params={"limit": 100})
    for answer in (
        await new_shop.recommend(user, limit=100),
        await new_shop.recommend(user, limit=100, diversity=0.3),
        await new_shop.recommend(fresh(), limit=100),
        await new_shop.session(items=["garden-01"], limit=100),
        similar.json(),
    ):
        found = set(ids(answer))
        assert {item_id for item_id in found if item_id.startswith("w-")} == current
        assert len(found) >= len(ITEMS) - 1 + len(current)


async def test_an_item_whose_window_was_lifted_is_recommended_again(new_shop: Shop) -> None:
    past = {"available_until": time.time() - 5}
    item = {"item_id": "spring", "features": {"category": "season"}}
    await new_shop.put({**item, **past})
    assert ids(await new_shop.recommend(fresh(), filter="category=season")) == []
    await new_shop.put(item)
    assert ids(await new_shop.recommend(fresh(), filter="category=season")) == ["spring"]


async def test_a_user_whose_likes_faded_years_ago_and_who_rates_neutrally_is_answered(
    shop: Shop,
) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01", "like", timestamp=time.time() - 4 * _YEAR_S))
    await shop.send(event(user, "sport-01", "rate", value=3))
    answer = await shop.recommend(user)
    assert answer["items"]
    assert answer["user_version"] == 2


async def test_a_like_and_its_dislike_leave_a_user_without_a_direction(shop: Shop) -> None:
    user, now = fresh(), time.time()
    await shop.send(
        event(user, "garden-01", "like", timestamp=now),
        event(user, "garden-01", "dislike", timestamp=now),
    )
    assert (await shop.recommend(user))["strategy"] == "popular"


async def test_a_session_is_led_by_its_items(shop: Shop) -> None:
    answer = await shop.session(items=["novels-01", "novels-02"], limit=8)
    assert (answer["strategy"], answer["source"]) == ("session", "live")
    assert set(categories(answer)) == {"novels"}
    assert not {"novels-01", "novels-02"} & set(ids(answer))


async def test_a_session_turns_away_from_its_negative_items(shop: Shop) -> None:
    both = await shop.session(items=["novels-01", "sport-01"], limit=58)
    away = await shop.session(
        items=["novels-01", "sport-01"], negative_items=["sport-02", "sport-03"], limit=56
    )

    def mean_place(answer: dict[str, Any]) -> float:
        found = [n for n, category in enumerate(categories(answer)) if category == "sport"]
        return sum(found) / len(found)

    assert mean_place(away) > mean_place(both)
    assert not {"sport-02", "sport-03"} & set(ids(away))


@pytest.mark.parametrize("category", CATEGORIES)
async def test_a_session_is_led_by_its_text_or_weights(shop: Shop, category: str) -> None:
    tags = " ".join(ITEMS[f"{category}-01"]["tags"])
    by_text = await shop.session(text=f"{category} {tags}", limit=5)
    assert set(categories(by_text)) == {category}
    by_weight = await shop.session(weights={f"category={category}": 1.0}, limit=5)
    assert set(categories(by_weight)) == {category}
    assert by_weight["strategy"] == "session"


async def test_an_empty_session_gets_what_is_popular(shop: Shop) -> None:
    assert (await shop.session())["strategy"] == "popular"
    assert (await shop.session(weights={"category=novels": 0}))["strategy"] == "popular"


@pytest.mark.parametrize("name", ["items", "negative_items"])
async def test_a_session_with_an_unknown_item_is_refused(shop: Shop, name: str) -> None:
    answer = await shop.client.post("/v1/recommendations", json={name: ["garden-01", "ghost"]})
    problem = refused(answer)
    assert "ghost" in problem["detail"]
    assert locations(problem)[0][0] == name


@pytest.mark.parametrize(
    "body",
    [
        {"items": ["a b"]},
        {"items": "garden-01"},
        {"items": ["garden-01"] * 101},
        {"text": ""},
        {"text": "x" * 1001},
        {"weights": {"category=novels": 1.5}},
        {"weights": {"category=novels": "much"}},
        {"weights": {"": 0.5}},
        {"limit": 0},
        {"limit": 101},
        {"diversity": 2},
        {"filter": ["flavour=sweet"]},
        {"user_id": "u"},
        {"exclude_seen": True},
        [],
    ],
)
async def test_a_malformed_session_is_refused(shop: Shop, body: object) -> None:
    refused(await shop.client.post("/v1/recommendations", json=body))


async def test_a_session_of_nan_weights_is_refused(shop: Shop) -> None:
    raw = b'{"weights": {"category=novels": NaN}}'
    refused(await shop.client.post("/v1/recommendations", content=raw))


async def test_similar_items_are_of_the_same_kind_and_not_the_item_itself(shop: Shop) -> None:
    answer = await shop.client.get("/v1/items/kitchen-04/similar", params={"limit": 10})
    assert answer.status_code == 200
    body = answer.json()
    assert body["item_id"] == "kitchen-04"
    assert "kitchen-04" not in ids(body)
    assert set(categories(body)) == {"kitchen"}
    assert all(-1 <= item["score"] <= 1.0001 for item in body["items"])


async def test_similar_to_an_unknown_item_is_404(shop: Shop) -> None:
    refused(await shop.client.get("/v1/items/ghost/similar"), 404)


async def test_similar_items_take_the_parameters_of_every_list(shop: Shop) -> None:
    path = "/v1/items/kitchen-04/similar"
    params = {"limit": 3, "exclude": "kitchen-05", "diversity": 0.7, "filter": "price<40"}
    body = (await shop.client.get(path, params=params)).json()
    assert len(body["items"]) == 3
    assert all(item["features"]["price"] < 40 for item in body["items"])
    refused(await shop.client.get(path, params={"limit": 0}))
