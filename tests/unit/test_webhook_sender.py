"""What comes of one delivery when the endpoint, the store or the list does not play along."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from webhook_cases import Sending, until

from recsvc.webhooks import sender as sending_module
from recsvc.webhooks.client import Answer
from recsvc.webhooks.model import DeliveryKey
from recsvc.webhooks.schedule import next_try

pytestmark = pytest.mark.anyio


def quick(
    attempts: int, now: float, until: float, _draw: float, asked_s: float | None = None
) -> float | None:
    """Pauses as they are, a hundred times shorter."""
    at = next_try(attempts, now, max(until, now + 1e6) if now < until else until, 1.0, asked_s)
    return None if at is None else now + (at - now) / 100


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending_module, "next_try", quick)


async def test_a_message_that_was_taken_is_not_sent_again_where_it_could_not_be_deleted():
    sending = Sending()
    await sending.webhook()
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        sending.points.failing["delete delivery"] = 3
        await sending.fold(sending.user(0), 1)
        await until(lambda: sending.posted)
        await until(lambda: not sending.points.deliveries())
        assert len(sending.posted) == 1
        assert sending.telemetry.total("webhooks", "delivered") == 1
        assert sending.telemetry.total("failures", "webhooks") == 3


async def test_what_comes_while_a_taken_message_is_still_to_be_deleted_is_told():
    sending = Sending()
    await sending.webhook()
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        sending.points.failing["delete delivery"] = 6
        user = sending.user(0)
        await sending.fold(user, 1)
        about = DeliveryKey("recommendations.updated", user, "")

        def waits() -> bool:
            entry = sending.lanes["w1"].find(about)
            return entry is not None and entry.troubles == 5 and not entry.busy

        await until(waits)
        await sending.fold(user, 2)
        await until(lambda: sending.told('"user_version":2'))
        await until(lambda: not sending.points.deliveries())


async def test_pauses_grow_also_while_they_cannot_be_stored():
    sending = Sending()
    sending.answer = Answer(1.0, status=500)
    await sending.webhook()
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        at: list[float] = []

        def fail_from_now(name: str, kind: str) -> None:
            if (name, kind) == ("get", "delivery"):
                at.append(time.monotonic())
                sending.points.failing["put delivery"] = 1

        about = DeliveryKey("recommendations.updated", sending.user(0), "")
        await sending.fold(sending.user(0), 1)
        await until(lambda: sending.posted)
        sending.points.before = fail_from_now
        await until(lambda: len(at) >= 5)
        pauses = [later - earlier for earlier, later in pairwise(at)]
        assert pauses[-1] > 3 * min(pauses)
        entry = sending.lanes["w1"].find(about)
        assert entry is not None
        assert entry.delivery.attempts >= 4
        sending.points.before = lambda _name, _kind: None
        sending.points.failing.clear()
        sending.answer = Answer(1.0, status=204)
        await until(lambda: not sending.points.deliveries())


async def test_a_list_that_can_never_be_made_is_a_dead_letter_in_the_end():
    sending = Sending(retry_s=0.3)
    await sending.webhook()
    sending.lists.fails = 1_000
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        await sending.fold(sending.user(0), 1)
        await until(lambda: sending.points.deliveries(state="dead"))
        [dead] = sending.points.deliveries()
        assert dead.error == "the message could not be made (StoreUnavailable)"
        assert 2 <= dead.attempts < 20
        assert sending.lists.fails == 1_000 - dead.attempts
        assert not sending.posted


@pytest.mark.parametrize(
    "answer", [Answer(1.0, status=410), Answer(1.0, status=503, retry_after_s=3_000.0)]
)
async def test_a_late_answer_of_an_earlier_endpoint_holds_up_nothing(answer: Answer):
    sending = Sending()
    sending.held = asyncio.Event()
    sending.answers = [answer]
    webhook = await sending.webhook()
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        await sending.fold(sending.user(0), 1)
        await until(lambda: sending.posted)
        await sending.registry.put(replace(webhook, url="http://two/"))
        sending.dispatcher.look()
        await until(lambda: sending.lanes["w1"].webhook.url == "http://two/")
        sending.held.set()
        await until(lambda: sending.telemetry.total("webhooks", "failed"))
        assert sending.lanes["w1"].webhook.enabled
        await sending.fold(sending.user(1), 1)
        await until(lambda: sending.told(f'"{sending.user(1)}"'))
        assert sending.posted[-1][0] == "http://two/"
        stored = await sending.registry.get("w1")
        assert stored is not None
        assert stored.enabled


async def test_a_410_of_a_url_that_was_changed_elsewhere_disables_nothing():
    sending = Sending()
    webhook = await sending.webhook()
    await sending.registry.put(replace(webhook, url="http://two/"))
    await sending.registry.disable(webhook, "gone")
    stored = await sending.registry.get("w1")
    assert stored is not None
    assert stored.enabled


async def test_disabling_and_changing_at_once_undo_nothing_of_each_other():
    sending = Sending()
    webhook = await sending.webhook()
    secrets = (replace(webhook.secrets[0], value="whsec_other"), *webhook.secrets)
    await sending.registry.disable(webhook, "gone")  # between reading and writing below
    await sending.points.put([replace(webhook, secrets=secrets).document()])
    stored = await sending.registry.get("w1")
    assert stored is not None
    assert (stored.enabled, stored.disabled_reason) == (False, "gone")
    assert stored.secrets == secrets
    await sending.registry.delete(webhook)
    await sending.registry.disable(webhook, "gone")
    assert await sending.registry.get("w1") is None
    assert await sending.registry.listed("t") == []


@pytest.mark.parametrize("change", [{"url": "http://two/"}, {"enabled": True}])
async def test_a_pause_ends_with_another_url_and_with_enabling(change: dict[str, object]):
    sending = Sending()
    sending.answers = [Answer(1.0, status=503, retry_after_s=3_000.0)]
    webhook = await sending.webhook()
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        first, second = sending.user(0), sending.user(1)
        await sending.fold(first, 1)
        await until(lambda: sending.posted and sending.points.deliveries()[0].attempts)
        await sending.fold(second, 1)
        await asyncio.sleep(0.1)
        assert len(sending.posted) == 1
        lane = sending.lanes["w1"]
        lane.become(replace(webhook, enabled=False))
        lane.become(replace(webhook, **change))
        await until(lambda: sending.told(f'"{second}"'))
