"""Webhooks: what changes reaches the tenants' endpoints, signed, at least once."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from receiver import Receiver
from shop import DIM, Shop, event, fresh, locations, open_shop, refused, until
from standardwebhooks import WebhookVerificationError

from indexer.domain.events import Event
from indexer.domain.position import partition_of
from indexer.provider.ledger import CallRecord
from indexer.rebuild import rebuild
from indexer.runtime import open_runtime
from indexer.settings import load_settings
from indexer.stores.webhooks import Document
from indexer.streams.redis.log import RedisLog
from recsvc.security import Keyring
from recsvc.webhooks import WEBHOOKS_MAX

pytestmark = pytest.mark.anyio

Open = Callable[..., AbstractAsyncContextManager[Shop]]
QUICK: dict[str, Any] = {
    "webhook_allow_private": frozenset({"127.0.0.1"}),
    "webhook_interval_s": 0.3,
    "webhook_timeout_s": 2.0,
}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An endpoint that takes everything."""
    async with Receiver() as running:
        yield running


@pytest.fixture(scope="session", params=["edge", "redis"])
async def telling_shop(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _no_foreign_settings: None,
    anyio_backend: str,
) -> AsyncIterator[Shop]:
    """A shop that may send to loopback."""
    settings: dict[str, Any] = {"qdrant_url": "edge"}
    if request.param == "redis":
        url = request.getfixturevalue("valkey_url")
        settings = {"qdrant_url": "memory", "event_log_url": url, "cache_url": url}
        settings |= {"event_log_name": "telling", "event_log_partitions": 3}
    folder = tmp_path_factory.mktemp(f"telling-{request.param}")
    async with open_shop(folder, **settings, **QUICK) as opened:
        yield opened


@pytest.fixture
async def telling(telling_shop: Shop) -> AsyncIterator[Shop]:
    """The same, without webhooks of other tests."""
    yield telling_shop
    for one in (await telling_shop.client.get("/v1/webhooks")).json()["webhooks"]:
        await telling_shop.client.delete(f"/v1/webhooks/{one['webhook_id']}")


@pytest.fixture(scope="session")
async def lone(
    tmp_path_factory: pytest.TempPathFactory, _no_foreign_settings: None, anyio_backend: str
) -> AsyncIterator[Shop]:
    """A shop that sends to public addresses only."""
    async with open_shop(tmp_path_factory.mktemp("lone"), items=False) as opened:
        yield opened


@pytest.fixture
def open_here(tmp_path: Path) -> Open:
    """Open an embedded shop with settings of the test's."""
    return partial(open_shop, tmp_path / "shop", **QUICK)


async def make(shop: Shop, receiver: Receiver, **more: Any) -> dict[str, Any]:
    """Make a webhook for a receiver."""
    answer = await shop.client.post("/v1/webhooks", json={"url": receiver.url, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def state(shop: Shop, made: dict[str, Any]) -> dict[str, Any]:
    """Return what came of a webhook's deliveries."""
    answer = await shop.client.get(f"/v1/webhooks/{made['webhook_id']}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["state"]
    return found


def has(receiver: Receiver, count: int) -> Callable[[], Awaitable[bool]]:
    """Whether so many requests have come."""

    async def ask() -> bool:
        return len(receiver.got) >= count

    return ask


def came_to(shop: Shop, made: dict[str, Any], **figures: int) -> Callable[[], Awaitable[bool]]:
    """Whether a webhook's state has these figures."""

    async def ask() -> bool:
        now = await state(shop, made)
        return all(now[name] == figure for name, figure in figures.items())

    return ask


async def test_a_folded_event_is_told_with_the_new_list_and_a_signature_that_verifies(
    telling: Shop, receiver: Receiver
) -> None:
    made = await make(telling, receiver, types=["recommendations.updated"], limit=3)
    user = fresh()
    await telling.send(event(user, "garden-01", "like"))
    await until(has(receiver, 1))
    message = receiver.got[0].verified(made["secret"])
    assert message["type"] == "recommendations.updated"
    assert message["timestamp"].endswith("Z")
    assert message["data"]["user_id"] == user
    listed = (await telling.recommend(user, limit=3))["items"]
    told = message["data"]["recommendations"]
    assert [one["item_id"] for one in told] == [one["item_id"] for one in listed]
    assert told[0]["features"]["title"]
    assert receiver.got[0].headers["content-type"] == "application/json"

    async def counted() -> bool:
        now = await state(telling, made)
        return bool(now["delivered"] == 1 and now["waiting"] == 0 and now["last_delivered_at"])

    await until(counted)


async def test_a_message_that_was_changed_does_not_verify(
    telling: Shop, receiver: Receiver
) -> None:
    made = await make(telling, receiver)
    await telling.client.post(f"/v1/webhooks/{made['webhook_id']}/test")
    got = receiver.got[0]
    got.body = got.body.replace(b"webhook.test", b"webhook.tost")
    with pytest.raises(WebhookVerificationError):
        got.verified(made["secret"])


async def test_many_events_of_a_user_become_few_messages_of_which_the_last_is_the_newest(
    telling: Shop, receiver: Receiver
) -> None:
    made = await make(telling, receiver)
    user = fresh()
    for n in range(12):
        await telling.send(event(user, f"sport-{n:02d}"))
    version = (await telling.user(user))["version"]

    async def newest_came() -> bool:
        messages = receiver.messages(made["secret"])
        return bool(messages) and messages[-1]["data"]["user_version"] == version

    await until(newest_came)
    versions = [one["data"]["user_version"] for one in receiver.messages(made["secret"])]
    assert versions == sorted(set(versions))
    assert len(versions) < 12
    gaps = [b.at - a.at for a, b in zip(receiver.got, receiver.got[1:], strict=False)]
    assert all(gap > 0.25 for gap in gaps)


async def test_a_webhook_is_told_of_its_users_only_and_of_nothing_before_it(
    telling: Shop, receiver: Receiver
) -> None:
    early, wanted, other = fresh(), fresh(), fresh()
    await telling.send(event(early, "garden-01"))
    made = await make(telling, receiver, users=[wanted, early])
    await telling.send(event(other, "garden-01"), event(wanted, "garden-02"))
    await until(has(receiver, 1))
    await asyncio.sleep(0.5)
    told = [one["data"]["user_id"] for one in receiver.messages(made["secret"])]
    assert told == [wanted]


async def test_an_event_that_waits_for_its_item_is_told_once_the_item_is_there(
    telling: Shop, receiver: Receiver
) -> None:
    made = await make(telling, receiver)
    user, item_id = fresh(), fresh("item")
    await telling.client.post("/v1/events", json=event(user, item_id, "purchase"))
    await until(has(receiver, 1))
    first = receiver.got[0].verified(made["secret"])["data"]["user_version"]
    await telling.put({"item_id": item_id, "features": {"title": "rare spade"}})
    await until(has(receiver, 2))
    assert receiver.got[1].verified(made["secret"])["data"]["user_version"] > first


async def test_a_delivery_is_tried_again_with_the_same_id_until_it_is_taken(
    telling: Shop, receiver: Receiver
) -> None:
    receiver.status = 500
    made = await make(telling, receiver)
    await telling.send(event(fresh(), "garden-01"))
    await until(has(receiver, 2))
    failed = await state(telling, made)
    assert failed["waiting"] == 1
    receiver.status = 200
    await until(came_to(telling, made, delivered=1))
    assert len({one.message_id for one in receiver.got}) == 1
    now = await state(telling, made)
    assert now["failed"] == len(receiver.got) - 1
    assert now["last_error"] == "answered 500"
    assert (now["waiting"], now["dead"]) == (0, 0)


async def test_what_is_newer_takes_the_place_of_what_is_tried_again(
    telling: Shop, receiver: Receiver
) -> None:
    receiver.status, user = 503, fresh()
    made = await make(telling, receiver)
    await telling.send(event(user, "garden-01"))
    await until(has(receiver, 1))
    await telling.send(event(user, "garden-02"))
    receiver.status = 200
    await until(has(receiver, 2))
    version = (await telling.user(user))["version"]
    assert receiver.got[-1].verified(made["secret"])["data"]["user_version"] == version
    await asyncio.sleep(0.5)
    assert (await state(telling, made))["waiting"] == 0


async def test_an_endpoint_that_asks_for_time_is_given_it(
    telling: Shop, receiver: Receiver
) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "2"}
    before = telling.runtime.telemetry.total("webhooks", "failed")
    await make(telling, receiver)
    await telling.send(event(fresh(), "garden-01"))

    async def answered() -> bool:
        return telling.runtime.telemetry.total("webhooks", "failed") > before

    await until(answered)
    receiver.status = 200
    await telling.send(event(fresh(), "garden-02"))
    await until(has(receiver, 3))
    assert receiver.got[1].at - receiver.got[0].at > 1.8


async def test_after_the_set_time_a_delivery_is_a_dead_letter_that_can_be_replayed(
    open_here: Open, receiver: Receiver
) -> None:
    receiver.status = 500
    async with open_here(webhook_retry_s=1.5) as shop:
        made = await make(shop, receiver)
        path, user = f"/v1/webhooks/{made['webhook_id']}", fresh()
        await shop.send(event(user, "garden-01"))

        async def dead() -> Any:
            return (await shop.client.get(f"{path}/dead-letters")).json()["dead_letters"]

        [letter] = await until(dead)
        assert letter["user_id"] == user
        assert letter["type"] == "recommendations.updated"
        assert letter["reason"] == "answered 500"
        assert letter["attempts"] == len(receiver.got) >= 2
        assert letter["delivery_id"] == receiver.got[-1].message_id
        assert (await state(shop, made))["dead"] == 1
        refused(await shop.client.post(f"{path}/replay", json={"delivery_ids": ["none"]}), 404)
        receiver.status, before = 200, len(receiver.got)
        sent = {"delivery_ids": [letter["delivery_id"]]}
        answer = await shop.client.post(f"{path}/replay", json=sent)
        assert answer.json() == {"replayed": 1}
        await until(has(receiver, before + 1))
        assert receiver.got[-1].verified(made["secret"])["data"]["user_id"] == user
        await until(came_to(shop, made, delivered=1, dead=0, waiting=0))


async def test_replaying_without_ids_sends_all_that_is_dead(
    open_here: Open, receiver: Receiver
) -> None:
    receiver.status, users = 500, [fresh(), fresh()]
    async with open_here(webhook_retry_s=0) as shop:
        made = await make(shop, receiver)
        await shop.send(*(event(user, "garden-01") for user in users))
        await until(came_to(shop, made, dead=2))
        receiver.status, receiver.got = 200, []
        answer = await shop.client.post(f"/v1/webhooks/{made['webhook_id']}/replay")
        assert answer.json() == {"replayed": 2}
        await until(has(receiver, 2))
        told = {one["data"]["user_id"] for one in receiver.messages(made["secret"])}
        assert told == set(users)


async def test_an_endpoint_that_is_gone_is_disabled_until_it_is_enabled_again(
    telling: Shop, receiver: Receiver
) -> None:
    receiver.status = 410
    made = await make(telling, receiver)
    path, user = f"/v1/webhooks/{made['webhook_id']}", fresh()
    await telling.send(event(user, "garden-01"))

    async def disabled() -> bool:
        return not (await telling.client.get(path)).json()["enabled"]

    await until(disabled)
    shown = (await telling.client.get(path)).json()
    assert shown["disabled_reason"] == "the endpoint answered 410"
    assert shown["state"]["waiting"] == 1
    meanwhile = fresh()
    await telling.send(event(meanwhile, "garden-02"))
    await asyncio.sleep(0.5)
    assert len(receiver.got) == 1
    receiver.status = 200
    answer = await telling.client.patch(path, json={"enabled": True})
    assert answer.json()["disabled_reason"] is None
    await until(has(receiver, 2))
    await asyncio.sleep(0.3)
    told = [one["data"]["user_id"] for one in receiver.messages(made["secret"])]
    assert told == [user, user]


async def test_a_rotated_secret_signs_beside_the_one_before(
    telling: Shop, receiver: Receiver
) -> None:
    own = "whsec_" + base64.b64encode(b"a secret of the tenant's own").decode()
    made = await make(telling, receiver, secret=own)
    assert made["secret"] == own
    path = f"/v1/webhooks/{made['webhook_id']}"
    assert "secret" not in (await telling.client.get(path)).json()
    rotated = (await telling.client.patch(path, json={"rotate_secret": True})).json()["secret"]
    assert rotated != own
    answer = await telling.client.post(f"{path}/test")
    assert answer.json()["delivered"] is True
    for secret in (own, rotated):
        assert receiver.got[0].verified(secret)["type"] == "webhook.test"
    assert own not in (await telling.client.get("/v1/webhooks")).text


async def test_an_endpoint_that_never_answers_delays_no_other(
    telling: Shop, receiver: Receiver
) -> None:
    async with Receiver(delay_s=60.0) as silent:
        await make(telling, silent)
        await make(telling, receiver)
        users = [fresh() for _ in range(40)]
        await telling.send(*(event(user, "garden-01") for user in users))
        await until(has(receiver, len(users)))
        assert 1 <= len(silent.got) < len(users)  # four at once, each given up after two seconds


async def test_a_test_message_tells_what_came(telling: Shop, receiver: Receiver) -> None:
    made = await make(telling, receiver)
    path = f"/v1/webhooks/{made['webhook_id']}/test"
    receiver.status, receiver.body = 418, b"x" * 1_000_000
    answer = (await telling.client.post(path)).json()
    assert (answer["delivered"], answer["status"]) == (False, 418)
    assert answer["delivery_id"] == receiver.got[0].message_id
    receiver.status, receiver.headers = 302, {"Location": "http://127.0.0.1:1/"}
    assert (await telling.client.post(path)).json()["status"] == 302
    assert len(receiver.got) == 2
    receiver.delay_s = 5.0
    answer = (await telling.client.post(path)).json()
    assert answer["error"] == "no answer within 2 s"


async def test_an_erased_user_is_forgotten_by_queues_and_dead_letters_too(
    open_here: Open, receiver: Receiver
) -> None:
    receiver.status, gone, stays = 500, fresh(), fresh()
    async with open_here(webhook_retry_s=0.5) as shop:
        made = await make(shop, receiver)
        await shop.send(event(gone, "garden-01"), event(stays, "garden-01"))
        await until(came_to(shop, made, dead=2))
        await shop.send(event(gone, "garden-02"))
        answer = await shop.client.delete(f"/v1/users/{gone}")
        assert answer.json()["verified"] is True
        letters = f"/v1/webhooks/{made['webhook_id']}/dead-letters"
        left = (await shop.client.get(letters)).json()["dead_letters"]
        assert [one["user_id"] for one in left] == [stays]
        await asyncio.sleep(0.7)
        assert not await shop.runtime.webhooks.knows_user("default", gone)


@pytest.mark.parametrize("left", ["a delivery", "a cost"])
async def test_an_erasure_that_failed_halfway_can_be_done_again(telling: Shop, left: str) -> None:
    user, runtime = fresh(), telling.runtime
    if left == "a delivery":
        labels = {"tenant": "default", "user_id": user, "webhook_id": "wh_gone"}
        await runtime.webhooks.put([Document("delivery", user, {}, labels)])
    else:
        cost = CallRecord("profile", "any", "any", "ok", 0.1, tenant="default", user_id=user)
        runtime.models.ledger.record(cost)
    answer = await telling.client.delete(f"/v1/users/{user}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["verified"] is True
    refused(await telling.client.delete(f"/v1/users/{user}"), 404)


async def test_a_webhook_that_is_deleted_is_told_nothing_more(
    telling: Shop, receiver: Receiver
) -> None:
    made = await make(telling, receiver)
    path = f"/v1/webhooks/{made['webhook_id']}"
    await telling.send(event(fresh(), "garden-01"))
    await until(has(receiver, 1))
    assert (await telling.client.delete(path)).status_code == 204
    refused(await telling.client.get(path), 404)
    await asyncio.sleep(0.2)
    await telling.send(event(fresh(), "garden-02"))
    await asyncio.sleep(0.5)
    assert len(receiver.got) == 1


async def test_what_waits_is_sent_after_a_restart(open_here: Open, receiver: Receiver) -> None:
    receiver.status, user = 500, fresh()
    async with open_here() as shop:
        made = await make(shop, receiver)
        await shop.send(event(user, "garden-01"))
        await until(has(receiver, 1))
    receiver.status, receiver.got = 200, []
    async with open_here(items=False) as shop:
        await until(has(receiver, 1))
        assert receiver.got[0].verified(made["secret"])["data"]["user_id"] == user
        await until(came_to(shop, made, waiting=0))


async def test_tenants_have_webhooks_of_their_own(tmp_path: Path, receiver: Receiver) -> None:
    path = tmp_path / "keys.toml"
    ring = Keyring(path)
    north, south = (
        {"X-API-Key": ring.create(name, ["read", "write", "admin"], name)}
        for name in ("north", "south")
    )
    lesser = {"X-API-Key": ring.create("lesser", ["read", "write"], "north")}
    async with (
        Receiver() as other,
        open_shop(tmp_path / "shop", keys=path, items=False, **QUICK) as shop,
    ):
        made = {}
        for headers, place in ((north, receiver), (south, other)):
            answer = await shop.client.post(
                "/v1/webhooks", json={"url": place.url}, headers=headers
            )
            made[place.port] = answer.json()
        foreign = f"/v1/webhooks/{made[other.port]['webhook_id']}"
        for call in (
            shop.client.get(foreign, headers=north),
            shop.client.delete(foreign, headers=north),
            shop.client.patch(foreign, json={"enabled": False}, headers=north),
            shop.client.post(f"{foreign}/test", headers=north),
            shop.client.post(f"{foreign}/replay", headers=north),
            shop.client.get(f"{foreign}/dead-letters", headers=north),
        ):
            refused(await call, 404)
        refused(await shop.client.get("/v1/webhooks", headers=lesser), 403)
        listed = (await shop.client.get("/v1/webhooks", headers=north)).json()["webhooks"]
        assert [one["webhook_id"] for one in listed] == [made[receiver.port]["webhook_id"]]
        sent = event("same", "i1", "like", item_features={"title": "spade"})
        assert (await shop.client.post("/v1/events", json=sent, headers=south)).status_code == 202
        await until(has(other, 1))
        assert other.got[0].verified(made[other.port]["secret"])["data"]["user_id"] == "same"
        await asyncio.sleep(0.3)
        assert receiver.got == []


async def test_a_tenant_has_so_many_webhooks_at_the_most(telling: Shop, receiver: Receiver) -> None:
    for _ in range(WEBHOOKS_MAX):
        await make(telling, receiver)
    answer = await telling.client.post("/v1/webhooks", json={"url": receiver.url})
    assert f"{WEBHOOKS_MAX} webhooks" in refused(answer)["detail"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://localhost:8000/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://100.64.0.1/",
        "http://[fd00::1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[2002:a00:1::]/",
        "http://0.0.0.0/",
        "http://no-such-host.invalid/",
        "http://user:secret@8.8.8.8/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "https://8.8.8.8/#part",
        "not a url",
    ],
)
async def test_an_url_that_may_not_be_sent_to_is_refused_by_name(lone: Shop, url: str) -> None:
    problem = refused(await lone.client.post("/v1/webhooks", json={"url": url}))
    assert locations(problem) == [["url"]]
    assert "secret" not in problem["detail"]


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({"types": []}, ["types"]),
        ({"types": ["other"]}, ["types", 0]),
        ({"users": []}, ["users"]),
        ({"limit": 101}, ["limit"]),
        ({"secret": "whsec_c2hvcnQ="}, ["secret"]),
        ({"secret": "plain"}, ["secret"]),
        ({"colour": "red"}, ["colour"]),
    ],
)
async def test_a_refused_field_is_named(lone: Shop, sent: dict[str, Any], where: Any) -> None:
    answer = await lone.client.post("/v1/webhooks", json={"url": "http://8.8.8.8/", **sent})
    assert locations(refused(answer)) == [where]
    assert "c2hvcnQ" not in answer.text


def poison(user_id: str) -> Event:
    """An event that no fold can take: it can only come from another producer of the log."""
    wrong: Any = "five"
    return Event("default", user_id, fresh("event"), "rate", time.time(), "garden-01", value=wrong)


async def test_an_event_that_cannot_be_folded_is_told_with_its_reason(
    open_here: Open, receiver: Receiver
) -> None:
    async with open_here() as shop:
        made = await make(shop, receiver, types=["event.failed"])
        failed = poison(fresh())
        await shop.runtime.log.append([failed])
        await until(has(receiver, 1))
        message = receiver.got[0].verified(made["secret"])
        assert message["type"] == "event.failed"
        assert message["data"]["user_id"] == failed.user_id
        assert message["data"]["event_id"] == failed.event_id
        assert "TypeError" in message["data"]["reason"]


async def test_what_another_producer_sent_that_is_no_event_is_told(
    open_here: Open, receiver: Receiver, valkey_url: str
) -> None:
    shared = {"qdrant_url": "memory", "event_log_url": valkey_url, "cache_url": valkey_url}
    shared |= {"event_log_name": "foreign", "event_log_partitions": "2"}
    async with open_here(items=False, **shared) as shop:
        made = await make(shop, receiver, types=["event.failed"])
        user, log = fresh(), cast(RedisLog, shop.runtime.log)
        stream = log.keys.stream("events", partition_of("default", user, log.partitions))
        good = {"user_id": user, "event_id": "e1", "event_type": "view", "item_id": "i1"}
        for wrong in ({"event_type": "sneeze", "event_id": "e2"}, {}, {"item_id": "i2"}):
            await log.server.ask("XADD", stream, "*", "event", json.dumps({**good, **wrong}))
        await until(has(receiver, 2))
        told = {one["data"]["event_id"]: one["data"] for one in receiver.messages(made["secret"])}
    assert told.keys() == {"e1", "e2"}
    assert {one["user_id"] for one in told.values()} == {user}
    assert "sneeze" in told["e2"]["reason"]
    assert told["e1"]["reason"] == "already accepted with another body"


async def test_what_was_folded_while_nobody_sent_is_told_by_the_next_who_does(
    open_here: Open, tmp_path: Path, receiver: Receiver
) -> None:
    async with open_here() as shop:
        made = await make(shop, receiver)
    user, failed = fresh(), poison(fresh())
    settings = load_settings(
        data_dir=tmp_path / "shop", offline_embedder="hashed", embedding_dim=DIM, _env_file=None
    )
    async with open_runtime(settings) as runtime:  # folds, and ends before anything is sent
        liked = Event("default", user, "e1", "like", time.time(), "garden-01")
        await runtime.log.append([liked, failed])
        assert await runtime.drain() == 0
    assert receiver.got == []
    async with open_here(items=False):
        await until(has(receiver, 2))
    told = {one["type"]: one["data"] for one in receiver.messages(made["secret"])}
    assert told["recommendations.updated"]["user_id"] == user
    assert told["event.failed"]["event_id"] == failed.event_id


async def test_a_rebuild_keeps_webhooks_and_what_they_are_still_to_be_told(
    open_here: Open, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.status, user = 500, fresh()
    async with open_here() as shop:
        made = await make(shop, receiver)
        await shop.send(event(user, "garden-01"))
        await until(has(receiver, 1))
    settings = load_settings(
        data_dir=tmp_path / "shop", offline_embedder="hashed", embedding_dim=DIM, _env_file=None
    )
    report = await rebuild(settings, start={}, accept_differences=True, say=lambda _: None)
    assert report.switched
    receiver.status, receiver.got = 200, []
    async with open_here(items=False) as shop:
        await until(has(receiver, 1))
        listed = (await shop.client.get("/v1/webhooks")).json()["webhooks"]
        assert [one["webhook_id"] for one in listed] == [made["webhook_id"]]
    told = [one["data"]["user_id"] for one in receiver.messages(made["secret"])]
    assert told == [user]


async def test_the_receiver_of_the_documentation_takes_what_is_signed_and_nothing_else(
    telling: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make(telling, receiver)
    await telling.client.post(f"/v1/webhooks/{made['webhook_id']}/test")
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    monkeypatch.setenv("WEBHOOK_SECRET", made["secret"])
    names: dict[str, Any] = {}
    exec(compile(code, "docs/webhooks.md", "exec"), names)
    transport = httpx.ASGITransport(names["app"])
    got = receiver.got[0]
    async with httpx.AsyncClient(transport=transport, base_url="http://example") as client:
        for body, status in ((got.body, 204), (got.body, 204), (got.body + b" ", 401)):
            answer = await client.post("/hooks", content=body, headers=got.headers)
            assert answer.status_code == status
    assert names["known"] == {got.message_id}


async def test_deliveries_are_counted_in_metrics_and_stats(
    telling: Shop, receiver: Receiver
) -> None:
    before = telling.runtime.telemetry.total("webhooks", "delivered")
    await make(telling, receiver)
    await telling.send(event(fresh(), "garden-01"))

    async def counted() -> bool:
        stats = (await telling.client.get("/v1/stats")).json()
        return bool(stats["webhooks"].get("delivered", 0) > before)

    await until(counted)
    assert (
        'recsvc_webhooks_total{outcome="delivered"}' in (await telling.client.get("/metrics")).text
    )


async def test_secrets_and_bodies_are_never_logged(
    telling: Shop, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    receiver.status, user = 500, fresh("private")
    made = await make(telling, receiver)
    await telling.send(event(user, "garden-01"))
    await until(has(receiver, 2))
    logged = [one for one in caplog.messages if "standardwebhooks" not in one]
    assert not any(made["secret"] in one or user in one for one in logged)
