"""The process is killed, stopped, started twice: what was acknowledged counts exactly once."""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from processes import (
    READY_S,
    STOP_S,
    Sender,
    Service,
    catalogue,
    expected_counts,
    run,
    taste,
    wait_for,
)

_CYCLES = 20
_LOAD_S = (0.2, 1.6)


class Survivor(NamedTuple):
    """A service that was killed again and again under load, and what its clients know."""

    service: Service
    senders: list[Sender]
    starts_s: list[float]


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survivor]:
    """Kill the service at random moments under load; start it a last time and send the rest."""
    service = Service(tmp_path_factory.mktemp("crashes") / "data")
    senders = [Sender(service.url, f"c{n}", seed=n) for n in range(3)]
    chance = random.Random(7)
    try:
        service.start()
        service.post("/v1/items", catalogue())
        starts_s = []
        for sender in senders:
            sender.start()
        try:
            for _ in range(_CYCLES):
                time.sleep(chance.uniform(*_LOAD_S))
                service.kill()
                starts_s.append(service.start())
        finally:
            for sender in senders:
                sender.stop()
        for sender in senders:
            sender.finish()
        service.settle()
        yield Survivor(service, senders, starts_s)
    finally:
        service.close()


def test_every_start_after_a_kill_is_ready_in_time(survivor: Survivor) -> None:
    assert len(survivor.starts_s) == _CYCLES
    assert max(survivor.starts_s) < READY_S


def test_every_acknowledged_event_counts_exactly_once(survivor: Survivor) -> None:
    expected = expected_counts(survivor.senders)
    assert sum(map(len, (sender.acknowledged for sender in survivor.senders))) > 20 * _CYCLES
    wrong = {}
    for user_id, counts in expected.items():
        user = survivor.service.get(f"/v1/users/{user_id}")
        if user["event_count"] != counts.total() or user["counts"] != dict(counts):
            wrong[user_id] = (user["counts"], dict(counts))
    assert wrong == {}
    total = survivor.service.get("/v1/stats")["totals"]["events"]
    assert total == sum(counts.total() for counts in expected.values())


def test_no_event_was_refused_on_the_way(survivor: Survivor) -> None:
    refused = [text for sender in survivor.senders for text in sender.refusals]
    assert [text for text in refused if not text.startswith("503")] == []
    assert survivor.service.get("/v1/stats")["totals"]["dead_letters"] == 0


def test_nothing_waits_for_ever_after_the_kills(survivor: Survivor) -> None:
    users = expected_counts(survivor.senders)

    def all_folded() -> bool:
        return all(survivor.service.get(f"/v1/users/{u}")["waiting"] == 0 for u in users)

    wait_for(all_folded, 2 * READY_S)


def test_recommendations_answer_after_the_kills(survivor: Survivor) -> None:
    for user_id in expected_counts(survivor.senders):
        answer = survivor.service.get(
            f"/v1/users/{user_id}/recommendations", exclude_seen=False, explain=True
        )
        assert len(answer["items"]) == 10
        for item in answer["items"]:
            assert sum(r["contribution"] for r in item["reasons"]) == pytest.approx(
                item["score"], abs=1e-3
            )


def test_folding_the_log_anew_gives_the_same_tastes_as_the_kills_left(
    survivor: Survivor,
) -> None:
    service, users = survivor.service, sorted(expected_counts(survivor.senders))
    before = {user_id: taste(service, user_id) for user_id in users}
    assert service.terminate() == 0
    replayed = run("indexer", "replay", data_dir=service.data_dir)
    assert replayed.returncode == 0, replayed.stderr
    service.start()
    service.settle()
    for user_id in users:
        _same_taste(taste(service, user_id), before[user_id])


def _same_taste(after: dict[str, Any], before: dict[str, Any]) -> None:
    assert after["event_count"] == before["event_count"]
    assert after["counts"] == before["counts"]
    assert after["vectors"].keys() == before["vectors"].keys()
    for name, vector in before["vectors"].items():
        length = math.hypot(*vector)
        assert after["vectors"][name] == pytest.approx(vector, abs=1e-5 * max(1.0, length))


def test_a_replay_leaves_counts_and_vectors_as_they_were(service: Service) -> None:
    service.start()
    service.post("/v1/items", catalogue())
    now = time.time()
    for user in ("ada", "bob"):
        events = [
            {
                "user_id": user,
                "event_type": ("view", "click", "purchase", "dislike")[n % 4],
                "item_id": f"i{n % 50}",
                "timestamp": now - 7_000.0 * ((n * 37) % 120),
                "event_id": f"e{n}",
            }
            for n in range(120)
        ]
        service.post("/v1/events", events, wait="applied", timeout_s=10)
        more = [
            {"user_id": user, "event_type": "search", "query": "sport thing"},
            {"user_id": user, "event_type": "retract", "retracts": "e2"},
            {"user_id": user, "event_type": "retract", "retracts": "e110"},
        ]
        service.post("/v1/events", more, wait="applied", timeout_s=10)
    before = {user: taste(service, user) for user in ("ada", "bob")}
    assert before["ada"]["event_count"] == 119
    assert service.terminate() == 0
    replayed = run("indexer", "replay", data_dir=service.data_dir)
    assert replayed.returncode == 0, replayed.stderr
    service.start()
    for user in before:
        _same_taste(taste(service, user), before[user])
        answer = service.get(f"/v1/users/{user}/recommendations")
        assert answer["strategy"] == "personal"


@pytest.mark.parametrize("delay_s", [0.5, 0.65, 0.8, 0.9, 1.0])
def test_a_first_start_that_is_killed_halfway_can_be_repeated(
    service: Service, delay_s: float
) -> None:
    service.spawn()
    time.sleep(delay_s)
    service.kill()
    assert service.start() < READY_S


def test_a_first_start_killed_right_after_it_took_the_directory_can_be_repeated(
    service: Service,
) -> None:
    chance = random.Random(3)
    for _ in range(5):
        service.spawn()
        wait_for((service.data_dir / "qdrant").exists)
        time.sleep(chance.uniform(0, 0.05))
        service.kill()
    assert service.start() < READY_S


def test_sigterm_under_load_exits_with_0_and_loses_nothing(service: Service) -> None:
    service.start()
    service.post("/v1/items", catalogue())
    senders = [Sender(service.url, f"t{n}", seed=n) for n in range(3)]
    for sender in senders:
        sender.start()
    try:
        time.sleep(1.5)
        code = service.terminate()
    finally:
        for sender in senders:
            sender.stop()
    assert code == 0
    log = service.log.read_text()
    assert "0 events are left" in log
    assert "Traceback" not in log
    service.start()
    for sender in senders:
        assert len(sender.acknowledged) > 10
    known = {user: service.get(f"/v1/users/{user}") for user in expected_counts(senders)}
    missing = {
        user: counts.total() - known[user]["event_count"]
        for user, counts in expected_counts(senders).items()
        if known[user]["event_count"] < counts.total()
    }
    assert missing == {}
    for sender in senders:
        sender.finish()
    service.settle()
    for user, counts in expected_counts(senders).items():
        assert service.get(f"/v1/users/{user}")["event_count"] == counts.total()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_stops_the_process(
    service: Service, number: signal.Signals
) -> None:
    process = service.spawn()
    wait_for((service.data_dir / "lock").exists)
    process.send_signal(number)
    assert process.wait(STOP_S) in (0, -number, 128 + number)
    service.process = None


def test_a_second_process_on_the_directory_is_refused_in_one_line(service: Service) -> None:
    service.start()
    assert service.process is not None
    for command in (
        ("recsvc", "serve", "--port", str(service.port)),
        ("indexer", "run", "--until-idle"),
        ("indexer", "replay"),
        ("indexer", "dead-letters", "list"),
    ):
        second = run(*command, data_dir=service.data_dir)
        assert second.returncode == 1, command
        [line] = second.stderr.splitlines()
        assert str(service.data_dir) in line
        assert str(service.process.pid) in line
    assert service.get("/readyz")["ready"] is True


def test_a_port_that_is_taken_fails_with_1_and_frees_the_directory(
    service: Service, tmp_path: Path
) -> None:
    service.start()
    other = tmp_path / "other" / "data"
    other.parent.mkdir()
    second = run("recsvc", "serve", "--port", str(service.port), data_dir=other)
    assert second.returncode == 1
    assert str(service.port) in second.stderr
    assert "Traceback" not in second.stderr
    assert run("indexer", "run", "--until-idle", data_dir=other).returncode == 0
