"""Collections made anew from the log: in place, while others fold, and on the way to a cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, OverRedis, qdrant_server, wait_until_shared
from processes import Service, catalogue, run, wait_for
from streams import SENT_S, Sender, Stream, settle
from valkey_server import ValkeyServer

# Without profiles, which are made when there is time and are not in the log.
LISTED = {"limit": 10, "exclude_seen": False, "at": 1_700_100_000, "profile_weight": 0.0}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Processes around a log in Redis; none is started yet."""
    valkey = ValkeyServer(tmp_path / "valkey").start()
    with qdrant_server() as qdrant:
        made = Fleet(tmp_path / "fleet", OverRedis(valkey), qdrant)
        try:
            yield made
        finally:
            made.close()
            valkey.stop()


def rebuild(data_dir: Path, *options: str, **settings: str) -> dict[str, Any]:
    """Rebuild, which must end in a switch."""
    done = run("indexer", "rebuild", "--json", *options, data_dir=data_dir, **settings)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["switched"]
    return report


def lists(service: Service, users: list[str]) -> dict[str, list[str]]:
    """What is recommended to each user."""
    found = {}
    for user in users:
        answer = service.get(f"/v1/users/{user}/recommendations", **LISTED)
        found[user] = [item["item_id"] for item in answer["items"]]
    return found


def filled(service: Service, count: int, seed: int) -> Stream:
    """Start a service that folds a stream, and again, so that what it counted is written."""
    service.start()
    service.post("/v1/items", catalogue())
    stream = Stream.of(count, seed)
    for events in stream.by_sender:
        for start in range(0, len(events), 500):
            service.post("/v1/events", events[start : start + 500])
    settle(service)
    assert service.terminate() == 0
    service.start()
    return stream


def test_a_rebuild_gives_the_same_collections_and_the_service_goes_on_with_them(
    data_dir: Path, service: Service
) -> None:
    stream = filled(service, 2_000, seed=1)
    users = list(stream.of_users())[:20]
    before = lists(service, users)
    assert service.terminate() == 0
    report = rebuild(data_dir)
    assert report["events"] == 2_000
    assert {row["collection"] for row in report["comparisons"]} == {"items", "users", "neighbours"}
    for row in report["comparisons"]:
        assert (row["before"], row["alike"]) == (row["after"], 1.0), row
    service.start()
    assert lists(service, users) == before
    one = {"user_id": users[0], "event_type": "purchase", "item_id": "i3"}
    answer = service.post("/v1/events", one, wait="applied", timeout_s=10)
    assert answer["results"][0]["success"]


def test_a_rebuild_of_other_events_is_not_switched_to_unasked(
    data_dir: Path, service: Service
) -> None:
    stream = filled(service, 500, seed=2)
    user = next(iter(stream.of_users()))
    whole = service.get(f"/v1/users/{user}")["event_count"]
    assert service.terminate() == 0
    done = run("indexer", "rebuild", "--json", "--after", "250", data_dir=data_dir)
    assert done.returncode == 1
    assert json.loads(done.stdout)["switched"] is False
    service.start()
    assert service.get(f"/v1/users/{user}")["event_count"] == whole
    assert service.terminate() == 0
    report = rebuild(data_dir, "--after", "250", "--accept-differences")
    assert report["events"] == 250


def test_a_rebuild_refuses_a_directory_that_a_service_has_open(
    data_dir: Path, service: Service
) -> None:
    service.start()
    done = run("indexer", "rebuild", data_dir=data_dir)
    assert done.returncode == 1
    assert "is in use by process" in done.stderr


def test_from_one_process_to_a_cluster_every_list_stays_as_it_was(
    data_dir: Path, service: Service, fleet: Fleet, tmp_path: Path
) -> None:
    service.settings["RECSVC_LEARN_EVERY"] = "0"  # as in the fleet, where fewer are learned from
    stream = filled(service, 3_000, seed=3)
    users = list(stream.of_users())[:20]
    before = lists(service, users)
    assert service.terminate() == 0
    carried = tmp_path / "log.jsonl.gz"
    assert run("indexer", "export", str(carried), data_dir=data_dir).returncode == 0
    there = tmp_path / "there" / "data"
    there.parent.mkdir()
    for known in (0, 3_000):  # again, as after an interruption
        done = run("indexer", "import", str(carried), data_dir=there, **fleet.settings)
        assert done.returncode == 0, done.stderr
        assert f"{known} known" in done.stderr
    assert rebuild(there, **fleet.settings)["events"] == 3_000
    worker, api = fleet.worker(), fleet.api()
    wait_until_shared([worker])
    assert lists(api, users) == before
    for user, events in stream.of_users().items():
        assert api.get(f"/v1/users/{user}")["event_count"] == len(events), user
    one = {"user_id": users[0], "event_type": "purchase", "item_id": "i3"}
    assert api.post("/v1/events", one, wait="applied", timeout_s=10)["results"][0]["success"]


def test_a_rebuild_beside_workers_under_load_loses_nothing(fleet: Fleet, tmp_path: Path) -> None:
    workers, api = [fleet.worker(), fleet.worker()], fleet.api()
    wait_until_shared(workers)
    api.post("/v1/items", catalogue())
    stream = Stream.of(10_000, seed=4)
    senders = [Sender([api.url], events, pause_s=0.8) for events in stream.by_sender]
    for sender in senders:
        sender.start()
    wait_for(lambda: sum(sender.sent for sender in senders) > 2_000, SENT_S)
    there = tmp_path / "there" / "data"
    there.parent.mkdir()
    report = rebuild(there, **fleet.settings)
    assert report["events"] > 2_000
    for row in report["comparisons"]:
        assert (row["before"], row["alike"]) == (row["after"], 1.0), row
    for sender in senders:
        sender.join(SENT_S)
    settle(api)
    for user, events in stream.of_users().items():
        assert api.get(f"/v1/users/{user}")["event_count"] == len(events), user
    began = time.monotonic()
    one = {"user_id": "ada", "event_type": "purchase", "item_id": "i3"}
    assert api.post("/v1/events", one, wait="applied", timeout_s=10)["results"][0]["success"]
    assert time.monotonic() - began < 5.0
