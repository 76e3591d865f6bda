"""Several workers and APIs around one log: they come, go and are killed, and nothing shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from fleet import (
    PARTITIONS,
    Broker,
    Fleet,
    OverKafka,
    OverRedis,
    qdrant_server,
    wait_until_shared,
)
from kafka_broker import running as running_broker
from processes import DIM, Service, catalogue, wait_for
from streams import EVENTS, SENT_S, Sender, Stream, settle
from valkey_server import ValkeyServer

from indexer.domain.events import DEFAULT_WEIGHTS, item_ref, signed_weight
from indexer.domain.fold import Arrival, FoldRules, fold
from indexer.domain.neighbours import Neighbourhood, NeighbourRules, dimension, occurrences
from indexer.domain.position import partition_of
from indexer.domain.state import UserState
from indexer.domain.trail import step_of
from indexer.domain.vectors import Vector
from indexer.settings import DAY_S
from indexer.stores.items import ItemPoints
from indexer.stores.neighbours import Neighbours
from indexer.stores.server import Layout, ServerStore
from indexer.stores.users import UserStates
from indexer.wire import EventIn, to_event

pytestmark = pytest.mark.anyio

TAKEOVER_S = 6.0


class Stored:
    """What the collections hold in the end, and what the pure functions make of the stream."""

    def __init__(self, fleet: Fleet) -> None:
        layout = Layout(prefix=fleet.settings["RECSVC_QDRANT_PREFIX"])
        self.store = ServerStore.connect([fleet.settings["RECSVC_QDRANT_URL"]], layout=layout)
        self.rules = NeighbourRules(half_life_recent_s=7 * DAY_S)
        self.fold_rules = FoldRules(DEFAULT_WEIGHTS, 30 * DAY_S, DAY_S)

    async def vectors(self) -> dict[str, Vector]:
        items = ItemPoints(self.store, DIM, 32)
        found = await items.vectors("default", [f"i{n}" for n in range(60)])
        return {item_ref(item_id): vector for item_id, vector in found.items()}

    async def states(self, users: list[str]) -> dict[str, UserState]:
        states = UserStates(self.store, DIM, 1)
        found: dict[str, UserState] = {}
        for start in range(0, len(users), 200):
            keys = [("default", user) for user in users[start : start + 200]]
            found.update({key[1]: s for key, s in (await states.get_many(keys)).items()})
        return found

    async def hoods(self) -> dict[str, Neighbourhood]:
        neighbours = Neighbours(self.store, self.rules, {"heat": 7 * DAY_S, "hot": DAY_S})
        return await neighbours.hoods("default", [f"i{n}" for n in range(60)])

    def expected(
        self, stream: Stream, vectors: dict[str, Vector]
    ) -> tuple[dict[str, UserState], dict[str, Counted]]:
        states: dict[str, UserState] = {}
        counted: dict[str, Counted] = {}
        for user, events in stream.of_users().items():
            state = UserState("default", user)
            for offset, sent in enumerate(events, start=1):
                event = to_event("default", EventIn.model_validate(sent), DEFAULT_WEIGHTS)
                step, weight = (
                    step_of(event, DEFAULT_WEIGHTS),
                    signed_weight(event, DEFAULT_WEIGHTS),
                )
                if step is not None and weight > 0.0:
                    for one in occurrences(state.trail, step, weight, (0, offset), self.rules):
                        counted.setdefault(one.item_id, Counted()).add(one.gain, one.pairs)
                state = fold(state, [Arrival(offset, event)], vectors, self.fold_rules)
            states[user] = state
        return states, counted


@dataclass(slots=True)
class Counted:
    """What an item has of all events."""

    total: float = 0.0
    pairs: dict[int, float] = field(default_factory=dict)

    def add(self, gain: float, pairs: tuple[tuple[str, float], ...]) -> None:
        """Count one occurrence."""
        self.total += gain
        for other, added in pairs:
            at = dimension("default", other)
            self.pairs[at] = self.pairs.get(at, 0.0) + added


@pytest.fixture
def qdrant() -> Iterator[str]:
    """A Qdrant server that is this test's own."""
    with qdrant_server() as url:
        yield url


@pytest.fixture(params=["redis", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """What carries the log."""
    if request.param == "kafka":
        with running_broker() as kafka:
            yield OverKafka(kafka)
        return
    valkey = ValkeyServer(tmp_path / "valkey").start()
    try:
        yield OverRedis(valkey)
    finally:
        valkey.stop()


@pytest.fixture
def fleet(tmp_path: Path, broker: Broker, qdrant: str) -> Iterator[Fleet]:
    """Processes around it; none is started yet."""
    made = Fleet(tmp_path / "fleet", broker, qdrant)
    try:
        yield made
    finally:
        made.close()


async def test_workers_come_and_go_and_one_is_killed_and_every_event_counts_once(
    fleet: Fleet, broker: Broker
) -> None:
    first = fleet.worker()
    apis = [fleet.api(), fleet.api()]
    wait_until_shared([first])
    assert apis[0].post("/v1/items", catalogue())["stored"] == 60
    stream = Stream.of(EVENTS, seed=11)
    senders = [Sender([api.url for api in apis], events) for events in stream.by_sender]
    for sender in senders:
        sender.start()
    wait_for(lambda: sum(sender.sent for sender in senders) > EVENTS // 10, SENT_S)
    more = [fleet.worker() for _ in range(3)]
    wait_for(lambda: sum(sender.sent for sender in senders) > EVENTS // 3, SENT_S)
    more[0].kill()
    for sender in senders:
        sender.join(SENT_S)
    settle(apis[0])
    wait_until_shared([first, *more[1:]])

    more[1].kill()
    killed_at = time.monotonic()
    while not is_followed(apis[1]):
        assert time.monotonic() - killed_at < broker.session_s + TAKEOVER_S

    assert more[2].terminate() == 0
    assert first.terminate() == 0
    stored = Stored(fleet)
    try:
        await assert_as_expected(stored, stream)
    finally:
        await stored.store.close()


def is_followed(api: Service) -> bool:
    """Whether an event of a user of each partition is folded within a second."""
    of_each = {partition_of("default", f"p{n}", PARTITIONS): f"p{n}" for n in range(200)}
    assert len(of_each) == PARTITIONS
    # A dislike counts for nobody but these users.
    probe = [
        {"user_id": user, "event_type": "dislike", "item_id": "i1"} for user in of_each.values()
    ]
    waiting = {"wait": "applied", "timeout_s": 1}
    answer = api.http.post("/v1/events", json=probe, params=waiting)
    assert answer.status_code in (200, 202), answer.text
    return answer.status_code == 200


async def assert_as_expected(stored: Stored, stream: Stream) -> None:
    """Compare every user's state and every item's counts with what the stream makes of them."""
    vectors = await stored.vectors()
    states, counted = stored.expected(stream, vectors)
    found = await stored.states(list(states))
    for user, state in states.items():
        other = found[user]
        assert (other.event_count, other.counts) == (state.event_count, state.counts), user
        assert other.trail == state.trail, user
        assert other.window == state.window, user
        assert other.seen == state.seen, user
        for one, two in ((other.long, state.long), (other.short, state.short)):
            assert one.mass == pytest.approx(two.mass)
            np.testing.assert_allclose(one.vector, two.vector, atol=1e-4)
    hoods = await stored.hoods()
    for item_id, one in counted.items():
        hood = hoods[item_id]
        assert hood.counts.total == pytest.approx(one.total, rel=1e-4), item_id
        pairs = dict(zip(hood.dims.tolist(), hood.total.tolist(), strict=True))
        assert pairs == pytest.approx(one.pairs, rel=1e-3), item_id


OUTAGE_S = 30.0


def test_an_outage_of_the_log_loses_nothing_and_all_is_folded_soon_after(
    fleet: Fleet, broker: Broker
) -> None:
    worker, api = fleet.worker(), fleet.api()
    wait_until_shared([worker])
    api.post("/v1/items", catalogue())
    one = {"user_id": "ada", "event_type": "purchase", "item_id": "i1"}
    assert api.post("/v1/events", one, wait="applied", timeout_s=10)["results"][0]["success"]
    stream = Stream.of(20_000, seed=5)
    senders = [Sender([api.url], events) for events in stream.by_sender]
    for sender in senders:
        sender.start()
    wait_for(lambda: sum(sender.sent for sender in senders) > 1_000, SENT_S)
    broker.hang()
    assert sum(sender.sent for sender in senders) < 20_000
    away_since = time.monotonic()
    while time.monotonic() - away_since < OUTAGE_S:
        began = time.monotonic()
        api.get("/v1/users/ada/recommendations", exclude="i2")  # lists are made all the same
        assert time.monotonic() - began < 5.0
        time.sleep(1.0)
    broker.go_on()
    back_at = time.monotonic()
    for sender in senders:
        sender.join(SENT_S)
    settle(api)
    assert time.monotonic() - back_at < 4 * OUTAGE_S
    for user, events in stream.of_users().items():
        assert api.get(f"/v1/users/{user}")["event_count"] == len(events), user


def test_a_restarted_redis_has_what_was_acknowledged(tmp_path: Path, qdrant: str) -> None:
    valkey = ValkeyServer(tmp_path / "valkey", appendfsync="always").start()
    broker = OverRedis(valkey)
    fleet = Fleet(tmp_path / "fleet", broker, qdrant)
    try:
        worker, api = fleet.worker(), fleet.api()
        wait_until_shared([worker])
        api.post("/v1/items", catalogue())
        stream = Stream.of(4_000, seed=6)
        senders = [Sender([api.url], events) for events in stream.by_sender]
        for sender in senders:
            sender.start()
        for _ in range(3):
            time.sleep(0.5)
            broker.restart()
        for sender in senders:
            sender.join(SENT_S)
        settle(api)
        for user, events in stream.of_users().items():
            assert api.get(f"/v1/users/{user}")["event_count"] == len(events), user
    finally:
        fleet.close()
        valkey.stop()
