"""What lists are made of: several interests, what goes together, rules, and reasons for all."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from shop import ITEMS, Shop, event, fresh, until

from indexer.apply import LEARNED_FROM
from indexer.domain.ids import DEFAULT_TENANT
from indexer.domain.position import partition_of

pytestmark = pytest.mark.anyio

Opener = Callable[..., AbstractAsyncContextManager[Shop]]


def names(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def scores(answer: dict[str, Any]) -> dict[str, float]:
    return {item["item_id"]: item["score"] for item in answer["items"]}


def sums(answer: dict[str, Any]) -> bool:
    return all(
        sum(reason["contribution"] for reason in item["reasons"])
        == pytest.approx(item["score"], abs=1e-3)
        for item in answer["items"]
    )


async def buy_together(shop: Shop, *item_ids: str, people: int) -> None:
    for _ in range(people):
        user = fresh()
        await shop.send(*(event(user, item_id, "purchase") for item_id in item_ids))


async def test_both_of_two_tastes_are_served_about_as_they_are_shared(new_shop: Shop) -> None:
    user = fresh()
    for n in range(10):
        category = "novels" if n % 10 in (2, 5, 8) else "kitchen"
        await new_shop.send(event(user, f"{category}-{n:02d}", "purchase"))
    answer = await new_shop.recommend(user, limit=10, profile_weight=0)
    found = Counter(item["features"]["category"] for item in answer["items"])
    assert 5 <= found["kitchen"] <= 8
    assert 2 <= found["novels"] <= 4
    groups = (await new_shop.user(user))["groups"]
    assert sum(group["share"] for group in groups) == pytest.approx(1.0, abs=1e-3)


async def test_what_others_bought_with_it_is_recommended_and_says_so(new_shop: Shop) -> None:
    await buy_together(new_shop, "garden-01", "novels-09", people=8)
    user = fresh()
    await new_shop.send(event(user, "garden-01", "purchase"))

    async def together() -> bool:
        return names(await new_shop.recommend(user, limit=3, explain=True))[0] == "novels-09"

    await until(together)  # counts are written within a second
    answer = await new_shop.recommend(user, limit=30, explain=True)
    [reason] = [r for r in answer["items"][0]["reasons"] if r["kind"] == "together"]
    assert (reason["item_id"], reason["event_type"]) == ("garden-01", "purchase")
    assert reason["times"] == 8
    assert reason["contribution"] > 0.5 * answer["items"][0]["score"]
    assert sums(answer)


async def test_a_visitor_gets_what_goes_with_what_they_saw(new_shop: Shop) -> None:
    await buy_together(new_shop, "sport-01", "kitchen-08", people=8)

    async def together() -> bool:
        return names(await new_shop.session(items=["sport-01"], limit=3))[0] == "kitchen-08"

    await until(together)


async def test_the_same_event_twice_counts_pairs_once(new_shop: Shop) -> None:
    await buy_together(new_shop, "garden-02", "sport-02", people=4)
    user = fresh()
    sent = [
        event(user, "garden-02", "purchase", event_id=f"{user}-1"),
        event(user, "sport-02", "purchase", event_id=f"{user}-2"),
    ]
    for _ in range(3):
        await new_shop.send(*sent)
    await new_shop.runtime.neighbours.flush()
    hood = (await new_shop.runtime.neighbours.hoods("default", ["sport-02"]))["sport-02"]
    assert (hood.counts.total, hood.times.tolist()) == (5.0, [5.0])


async def test_a_badly_rated_item_goes_with_others_and_a_disliked_one_does_not(
    new_shop: Shop,
) -> None:
    rated, disliked = fresh(), fresh()
    await new_shop.send(event(rated, "novels-01", "rate", value=1))
    await new_shop.send(event(disliked, "novels-01", "dislike"))
    states = new_shop.runtime.states
    assert [s.strength for s in (await states.get("default", rated)).trail] == [0.5]
    assert (await states.get("default", disliked)).trail == ()


async def test_what_is_like_a_disliked_item_is_lowered_and_says_so(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "sport-01", "purchase"))
    before = scores(await new_shop.recommend(user, limit=60))
    await new_shop.send(event(user, "sport-06", "dislike"))  # also a tennis racket
    answer = await new_shop.recommend(user, limit=60, explain=True)
    assert scores(answer)["sport-11"] < 0.7 * before["sport-11"]
    [item] = [item for item in answer["items"] if item["item_id"] == "sport-11"]
    [reason] = [r for r in item["reasons"] if r["kind"] == "dislike"]
    assert reason["contribution"] < 0.0
    assert sums(answer)


async def test_negative_items_of_a_request_lower_what_is_like_them(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "sport-01", "purchase"))
    before = scores(await new_shop.recommend(user, limit=60))
    after = scores(await new_shop.recommend(user, limit=60, negative_items="sport-06"))
    assert "sport-06" not in after
    assert after["sport-11"] < 0.7 * before["sport-11"]


async def test_boosts_caps_and_pins_of_a_request_hold_and_reasons_add_up(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "kitchen-01", "purchase"))
    answer = await new_shop.recommend(
        user,
        limit=10,
        explain=True,
        boost="category=kitchen^0.1",
        cap="category:3",
        pin="garden-07:2",
    )
    assert names(answer)[1] == "garden-07"
    categories = Counter(
        i["features"]["category"] for i in answer["items"] if i["item_id"] != "garden-07"
    )
    assert max(categories.values()) <= 3 or len(categories) == len({*ITEMS})
    boosted = [i for i in answer["items"] if i["features"]["category"] == "kitchen"]
    assert all(any(r["kind"] == "rule" for r in item["reasons"]) for item in boosted)
    assert sums(answer)


@pytest.mark.parametrize(
    ("name", "value"), [("boost", "category=kitchen^20"), ("cap", "category"), ("pin", "p1:0")]
)
async def test_a_rule_that_is_none_is_refused_by_name(shop: Shop, name: str, value: str) -> None:
    url = f"/v1/users/{fresh()}/recommendations"
    answer = await shop.client.get(url, params={name: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][-1] == name


async def test_rules_of_a_file_hold_and_are_read_again(open_with: Opener, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[default.hide]]\nfilter = ["category=kitchen"]\n')
    async with open_with(rules_file=rules) as shop:
        user = fresh()
        await shop.send(event(user, "kitchen-01", "purchase"))
        answer = await shop.recommend(user, limit=45)
        assert "kitchen" not in {item["features"]["category"] for item in answer["items"]}
        rules.write_text('[[default.pin]]\nitem_id = "sport-03"\nposition = 1\n')

        async def pinned() -> bool:
            return names(await shop.recommend(user))[0] == "sport-03"

        await until(pinned)
        rules.write_text("[[default.pin]]\nposition = 1\n")

        async def told() -> bool:
            await shop.recommend(fresh())
            parts = (await shop.client.get("/readyz")).json()["parts"]
            return "item_id is missing" in parts["rules"]

        await until(told)
        assert names(await shop.recommend(user))[0] == "sport-03"


async def test_what_was_shown_often_falls_where_the_rules_say_so(
    open_with: Opener, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("[default]\nfatigue = 0.5\n")
    async with open_with(rules_file=rules) as shop:
        user = fresh()
        await shop.send(event(user, "kitchen-01", "purchase"))
        first = names(await shop.recommend(user, exclude="kitchen-01"))[0]
        await shop.send(*(event(user, first, "view") for _ in range(3)))
        answer = await shop.recommend(user, exclude="kitchen-01", exclude_seen=False, explain=True)
        assert names(answer)[0] != first
        [item] = [item for item in answer["items"] if item["item_id"] == first] or [None]
        assert item is None or any(r["kind"] == "fatigue" for r in item["reasons"])


async def test_strangers_see_a_little_that_is_not_popular_and_others_see_other_things(
    new_shop: Shop,
) -> None:
    await buy_together(new_shop, *[f"garden-{n:02d}" for n in range(12)], people=2)
    await new_shop.runtime.neighbours.flush()
    explored = set()
    for _ in range(6):
        answer = await new_shop.recommend(fresh(), limit=10, explain=True)
        kinds = [item["reasons"][0]["kind"] for item in answer["items"]]
        assert kinds.count("explore") == 1
        explored.add(names(answer)[kinds.index("explore")])
    assert len(explored) > 1


async def test_a_list_can_be_asked_for_as_of_a_time(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01", "purchase"))
    assert names(await shop.recommend(user, at=1_700_000_000))
    answer = await shop.client.get(f"/v1/users/{user}/recommendations", params={"at": "soon"})
    assert answer.status_code == 422


async def test_a_new_item_is_found_by_its_content_from_its_first_minute(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "kitchen-01", "purchase"), event(user, "kitchen-06", "click"))
    features = {**ITEMS["kitchen-01"], "title": "kettle number 101"}
    await new_shop.put({"item_id": "new-kettle", "features": features})
    assert "new-kettle" in names(await new_shop.recommend(user, limit=5))


async def test_the_neighbours_failing_leaves_a_list_that_says_so(
    new_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.errors import StoreError

    user = fresh()
    await new_shop.send(event(user, "kitchen-01", "purchase"))

    async def away(*_: object, **__: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(new_shop.runtime.neighbours, "nearest", away)
    answer = await new_shop.recommend(user, limit=5)
    assert "collaborative" in answer["degraded"]
    assert {item["features"]["category"] for item in answer["items"]} == {"kitchen"}


async def test_stats_tell_what_the_ranking_has_learned(new_shop: Shop) -> None:
    partitions = new_shop.runtime.log.partitions
    walker = next(
        user
        for user in (f"walker-{n}" for n in itertools.count())
        if partition_of(DEFAULT_TENANT, user, partitions) == LEARNED_FROM
    )
    for n in range(40):
        await new_shop.send(event(walker, f"garden-{n % 15:02d}", "click"))
        await new_shop.send(event(walker, f"sport-{n % 15:02d}", "click"))
    stats: httpx.Response = await new_shop.client.get("/v1/stats")
    ranking = stats.json()["ranking"]
    assert set(ranking["weights"]["on-few"]) >= {"sequence", "content"}
    assert ranking["updates"] > 0
