"""What is owed to webhooks is sent, whatever fails or moves in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from webhook_cases import Sending, until

from indexer.ports import UserChange
from recsvc.webhooks import backlog, dispatch, notices
from recsvc.webhooks import feeder as bounds
from recsvc.webhooks.client import Answer

pytestmark = pytest.mark.anyio

AWAY = Answer(1.0, status=500)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "LOOK_S", 0.1)
    monkeypatch.setattr(dispatch, "_FAILED_S", 0.1)


async def left_waiting(partition: int) -> Sending:
    """Have a process leave a delivery that no endpoint has taken."""
    first = Sending()
    first.answer = AWAY
    await first.webhook()
    async with first.running():
        await until(lambda: first.dispatcher._places)
        await first.fold(first.user(partition), 3)
        await until(lambda: first.posted)
    assert len(first.points.deliveries(state="waiting")) == 1
    return first


@pytest.mark.parametrize("at", ["find delivery", "get place", "find webhook", "find gone"])
async def test_what_others_have_left_is_sent_also_where_reading_it_fails_at_first(at: str):
    second = Sending(await left_waiting(1))
    points = second.points
    points.failing[at] = 2
    async with second.running():
        await until(lambda: second.told('"user_id"'))
        await until(lambda: not points.deliveries())


async def test_what_a_deleted_webhook_was_to_be_told_is_deleted_once_that_can_be_done():
    again = Sending(await left_waiting(0))
    points = again.points
    again.answer = AWAY
    async with again.running():
        await until(lambda: again.posted)
        [webhook] = again.registry.all
        await points.delete([webhook.document()])
        points.failing["delete delivery"] = 2
        again.dispatcher.look()
        await until(lambda: not points.deliveries())
        assert not again.lanes


async def test_a_failed_event_whose_delivery_could_not_be_stored_is_told_by_the_next_process():
    first = Sending()
    points = first.points
    await first.webhook(types=("event.failed",))
    async with first.running():
        await until(lambda: first.dispatcher._places)
        points.failing["put delivery"] = 1_000
        await first.fail(first.user(0), 7)
        await until(lambda: points.failing["put delivery"] < 1_000)
    assert not first.posted
    points.failing.clear()
    second = Sending(first)
    async with second.running():
        await until(lambda: second.told('"e7"'))


async def test_a_failed_event_that_was_noticed_as_the_process_ends_is_stored():
    sending = Sending()
    await sending.webhook(types=("event.failed",))
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        await asyncio.sleep(0.1)
        await sending.fail(sending.user(0), 7)  # and the process ends before the next step
    assert [one.event_id for one in sending.points.deliveries()] == ["e7"]


async def test_being_stopped_while_storing_loses_no_failed_event():
    sending = Sending()
    await sending.webhook(types=("event.failed",))
    reached = asyncio.Event()

    def stop(name: str, kind: str) -> None:
        if (name, kind) == ("put", "delivery") and not reached.is_set():
            reached.set()
            task.cancel()

    task = asyncio.create_task(sending.dispatcher.run())
    await until(lambda: sending.dispatcher._places)
    sending.points.before = stop
    await sending.fail(sending.user(1), 9)
    await asyncio.wait([task])
    assert reached.is_set()
    assert [one.event_id for one in sending.points.deliveries()] == ["e9"]


async def test_a_failed_event_that_there_was_no_room_for_is_told_later(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(bounds, "WAITING_MAX", 2)
    monkeypatch.setattr(bounds, "_HEARS_MAX", 1)
    monkeypatch.setattr(bounds, "_READ_MAX", 2)
    sending = Sending()
    sending.held = asyncio.Event()
    await sending.webhook(types=("event.failed",))
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        user = sending.user(0)
        for offset in range(1, 4):
            await sending.fail(user, offset)
        await until(lambda: len(sending.posted) == 3)
        for offset in range(4, 9):
            await sending.fail(user, offset)
            await asyncio.sleep(0.06)
        assert len(sending.posted) == 3
        sending.held.set()
        await until(lambda: all(sending.told(f'"e{offset}"') for offset in range(1, 9)))
        await until(lambda: sending.dispatcher._places[0].positions == {"w1": 8})
    place = sending.points.there["place", "0"].body
    assert place["positions"] == {"w1": 8}
    assert place["unheard"] == {}


async def test_what_was_missed_is_told_by_the_next_process_too(monkeypatch: pytest.MonkeyPatch):
    first = Sending()
    first.held = asyncio.Event()
    await first.webhook(types=("event.failed",))
    with monkeypatch.context() as narrow:
        narrow.setattr(bounds, "WAITING_MAX", 1)
        async with first.running():
            await until(lambda: first.dispatcher._places)
            await first.fail(first.user(0), 1)
            await until(lambda: first.posted)
            await first.fail(first.user(0), 2)
            await until(lambda: first.dispatcher._places[0].unheard)
            first.held.set()
    second = Sending(first)
    async with second.running():
        await until(lambda: second.told('"e2"'))


async def test_failures_beyond_the_notices_that_are_kept_are_told_from_the_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(notices, "NOTICES_MAX", 1)
    sending = Sending()
    await sending.webhook(types=("event.failed",))
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        await asyncio.sleep(0.1)
        for offset in range(1, 4):
            await sending.fail(sending.user(0), offset)
        await until(lambda: all(sending.told(f'"e{offset}"') for offset in range(1, 4)))


async def test_an_event_that_failed_before_its_partition_was_taken_in_is_told():
    sending = Sending(owned=(0,))
    await sending.webhook(types=("event.failed",))
    points, done = sending.points, False

    def fail_meanwhile(name: str, kind: str) -> None:
        nonlocal done
        if (name, kind) == ("get", "place") and not done:
            done = True
            task = asyncio.ensure_future(sending.fail(sending.user(0), 5))
            tasks.add(task)

    tasks: set[asyncio.Future[object]] = set()
    points.before = fail_meanwhile
    async with sending.running():
        await until(lambda: sending.told('"e5"'))


async def test_a_partition_that_cannot_be_read_holds_up_no_other():
    sending = Sending()
    await sending.webhook()
    sending.log.broken = {0}
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        broken, sound = sending.user(0), sending.user(1)
        await sending.fold(broken, 1, tell=False)
        await sending.fold(sound, 1, tell=False)
        sending.dispatcher.look()
        await until(lambda: sending.told(f'"{sound}"'))
        assert sending.telemetry.total("failures", "webhooks") == 1
        sending.log.broken = set()
        await until(lambda: sending.told(f'"{broken}"'))


async def test_a_partition_that_was_anothers_in_between_is_read_anew():
    sending = Sending()
    sending.answer = AWAY
    await sending.webhook()
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        user = sending.user(0)
        await sending.fold(user, 1)
        await until(lambda: len(sending.points.deliveries()) == 1 and sending.posted)
        [mine] = sending.points.deliveries()
        left = replace(mine, key="of another", user_id=sending.user(0) + "x", due_at=0.0)
        sending.states_of["t", left.user_id] = replace(
            sending.states_of["t", user], user_id=left.user_id
        )
        await sending.points.delete([mine.document()])
        await sending.points.put([left.document()])
        sending.feed.epochs[0] += 1  # lost and regained between two looks
        sending.dispatcher.look()
        await until(lambda: sending.told(f'"{left.user_id}"'))
        assert {one.user_id for one in sending.points.deliveries()} == {left.user_id}


async def test_nothing_more_is_sent_of_a_user_who_is_erased_while_a_delivery_is_stored():
    sending = Sending()
    await sending.webhook(types=("event.failed",))
    points, user = sending.points, sending.user(0)
    erased = False

    def erase(name: str, kind: str) -> None:
        nonlocal erased
        if (name, kind) == ("put", "delivery") and not erased:
            erased = True
            told = sending.changes.publish([UserChange("t", user, 0)])
            tasks.append(asyncio.ensure_future(told))

    tasks: list[asyncio.Future[None]] = []
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        points.before = erase
        await sending.fail(user, 4)
        await until(lambda: erased)
        await asyncio.sleep(0.3)
        assert not points.deliveries()
        assert not sending.told('"e4"')


async def test_what_is_not_stored_any_more_is_not_sent():
    sending = Sending()
    sending.answer = Answer(1.0, status=503, retry_after_s=0.5)
    await sending.webhook(types=("event.failed",))
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        await sending.fail(sending.user(0), 4)
        await until(lambda: sending.posted and sending.points.deliveries()[0].attempts)
        await sending.points.erase_user("t", sending.user(0))  # its notice is still to come
        await until(lambda: not sending.lanes["w1"])
        assert len(sending.posted) == 1


async def test_an_erased_user_who_is_back_is_told_of_again():
    sending = Sending()
    await sending.webhook()
    async with sending.running():
        await until(lambda: sending.dispatcher._places)
        user = sending.user(0)
        await sending.fold(user, 1)
        await until(lambda: len(sending.posted) == 1 and not sending.points.deliveries())
        del sending.states_of["t", user]
        await sending.changes.publish([UserChange("t", user, 0)])
        await sending.fold(user, 2)  # before anybody has looked
        await until(lambda: len(sending.posted) == 2)


async def test_replayed_dead_letters_wait_until_there_is_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backlog, "WAITING_MAX", 2)
    monkeypatch.setattr(backlog, "_REPLAYED_MAX", 2)
    first = Sending(retry_s=0.0)
    points = first.points
    first.answer = AWAY
    await first.webhook(types=("event.failed",))
    async with first.running():
        await until(lambda: first.dispatcher._places)
        for offset in range(1, 6):
            await first.fail(first.user(0), offset)
        await until(lambda: len(points.deliveries(state="dead")) == 5)
        first.answer, before = Answer(1.0, status=204), len(first.posted)
        dead = points.deliveries(state="dead")
        await points.put([replace(one, state="replay").document() for one in dead])
        first.dispatcher.look()
        await until(lambda: not points.deliveries())
        assert len(first.posted) == before + 5
