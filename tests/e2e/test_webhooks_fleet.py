"""Workers send webhooks beside APIs, and one that is killed in the midst of it loses nothing."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fleet import Fleet, OverRedis, qdrant_server, wait_until_shared
from processes import catalogue, wait_for
from standardwebhooks import Webhook as Verifier
from valkey_server import ValkeyServer

USERS = 60


class Endpoint:
    """A receiver in threads, that verifies what comes; it holds answers back while ``held``."""

    def __init__(self) -> None:
        self.secret = ""
        self.versions: dict[str, list[int]] = defaultdict(list)
        self.ids: dict[str, set[str]] = defaultdict(set)
        self.arrived = 0
        self.held = threading.Event()
        self.released = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                endpoint.arrived += 1
                if endpoint.held.is_set():
                    endpoint.released.wait(30.0)
                    return
                message = Verifier(endpoint.secret).verify(body, dict(self.headers))
                data = message["data"]
                endpoint.versions[data["user_id"]].append(data["user_version"])
                endpoint.ids[f"{data['user_id']} {data['user_version']}"].add(
                    self.headers["webhook-id"]
                )
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A receiver of the test's own."""
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Processes around one server of each kind; they may send to loopback."""
    valkey = ValkeyServer(tmp_path / "valkey").start()
    with qdrant_server() as url:
        made = Fleet(tmp_path / "fleet", OverRedis(valkey), url)
        made.settings["RECSVC_WEBHOOK_ALLOW_PRIVATE"] = "127.0.0.1"
        try:
            yield made
        finally:
            made.close()
            valkey.stop()


def test_a_worker_that_is_killed_between_fold_and_send_loses_nothing(
    fleet: Fleet, endpoint: Endpoint
) -> None:
    worker, api = fleet.worker(), fleet.api()
    wait_until_shared([worker])
    api.post("/v1/items", catalogue())
    made = api.post("/v1/webhooks", {"url": endpoint.url, "types": ["recommendations.updated"]})
    endpoint.secret = made["secret"]
    api.post("/v1/events", _event("first", 0), wait="applied", timeout_s=10)
    wait_for(lambda: bool(endpoint.versions["first"]))
    endpoint.held.set()
    events = [_event(f"u{n}", m) for m in range(2) for n in range(USERS)]
    applied = api.post("/v1/events", events, wait="applied", timeout_s=20)
    assert len(applied["results"]) == len(events)
    wait_for(lambda: endpoint.arrived > 1)
    worker.kill()
    endpoint.held.clear()
    endpoint.released.set()
    told = dict(endpoint.versions)
    assert told.keys() == {"first"}
    successor = fleet.worker()
    wait_until_shared([successor])
    newest = {f"u{n}": api.get(f"/v1/users/u{n}")["version"] for n in range(USERS)}
    wait_for(
        lambda: all(version in endpoint.versions.get(user, ()) for user, version in newest.items())
    )
    assert all(len(ids) == 1 for ids in endpoint.ids.values())
    path = f"/v1/webhooks/{made['webhook_id']}"
    wait_for(lambda: api.get(path)["state"]["waiting"] == 0)
    wait_for(lambda: api.get(path)["state"]["delivered"] >= USERS)


def _event(user: str, number: int) -> dict[str, object]:
    return {"user_id": user, "event_type": "click", "item_id": f"i{number}"}
