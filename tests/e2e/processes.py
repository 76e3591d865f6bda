"""The service and its commands as real processes, each ended by its own process id."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

READY_S = 30.0
STOP_S = 25.0
RUN_S = 300.0
DIM = 64
_FOREIGN = ("RECSVC_", "HOLYSHEEP_", "OPENAI_")


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """This process's environment with nothing but the given settings."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(_FOREIGN)}
    ours = {
        "RECSVC_DATA_DIR": str(data_dir),
        "RECSVC_OFFLINE_EMBEDDER": "hashed",
        "RECSVC_EMBEDDING_DIM": str(DIM),
    }
    return {**kept, "COLUMNS": "200", **ours, **settings}


def run(
    *command: str, data_dir: Path, stdin: bytes = b"", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in the folder of its data directory."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        input=stdin,
        capture_output=True,
        timeout=RUN_S,
        env=environment(data_dir, **settings),
        cwd=data_dir.parent,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


class Service:
    """One `recsvc serve` at a time, or another ``command`` that serves, on one data directory and
    one port."""

    def __init__(
        self, data_dir: Path, *, command: Sequence[str] = ("recsvc", "serve"), **settings: str
    ) -> None:
        self.data_dir, self.settings, self.command = data_dir, settings, command
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=20.0, trust_env=False)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = data_dir.parent / f"service-{self.port}.log"

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process and wait for nothing."""
        assert self.process is None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command, "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(self.data_dir, **self.settings),
                cwd=self.data_dir.parent,
            )
        return self.process

    def start(self) -> float:
        """Start the process; return the seconds until it was ready, at most READY_S."""
        start = time.monotonic()
        process = self.spawn()
        while True:
            try:
                if self.http.get("/readyz").status_code == 200:
                    return time.monotonic() - start
            except httpx.TransportError:
                pass
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() - start < READY_S, self.log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End the process as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_S)
        self.process = None

    def terminate(self) -> int:
        """Ask the process to stop; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_S)
        self.process = None
        return code

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process is not None:
            self.kill()
        self.http.close()

    def get(self, path: str, **params: Any) -> Any:
        """Get what must be there."""
        answer = self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, **params: Any) -> Any:
        """Post what must be taken."""
        answer = self.http.post(path, json=body, params=params)
        assert answer.is_success, answer.text
        return answer.json()

    def settle(self) -> None:
        """Wait until everything that is logged is folded."""
        deadline = time.monotonic() + READY_S
        while self.get("/v1/stats")["queue_depth"]:
            assert time.monotonic() < deadline, "the queue does not empty"
            time.sleep(0.05)


def catalogue(count: int = 60) -> list[dict[str, Any]]:
    """Items of four categories."""
    names = ("garden", "kitchen", "novels", "sport")
    return [
        {
            "item_id": f"i{n}",
            "features": {
                "title": f"{names[n % 4]} thing {n}",
                "category": names[n % 4],
                "price": n + 0.5,
            },
        }
        for n in range(count)
    ]


@dataclass(slots=True)
class Sender:
    """A client that gives every event an id, and sends again what was not acknowledged."""

    url: str
    name: str
    seed: int
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    _open: list[dict[str, Any]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Send until stopped."""
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; what is open stays open."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join(STOP_S)
        assert not self._thread.is_alive()

    def finish(self) -> None:
        """Send what is open; the service must take it."""
        if self._open:
            with httpx.Client(base_url=self.url, timeout=20.0, trust_env=False) as client:
                assert self._send(client, self._open), "the service does not take what is open"
            self._open = []

    def _run(self) -> None:
        chance = random.Random(self.seed)
        numbers = itertools.count()
        with httpx.Client(base_url=self.url, timeout=20.0, trust_env=False) as client:
            while not self._stop.is_set():
                if not self._open:
                    size = chance.choice((1, 1, 2, 20))
                    self._open = [self._event(next(numbers), chance) for _ in range(size)]
                    if self.acknowledged and chance.random() < 0.2:
                        self._open.append(chance.choice(list(self.acknowledged.values())))
                if self._send(client, self._open):
                    self._open = []
                else:
                    time.sleep(0.02)

    def _send(self, client: httpx.Client, events: list[dict[str, Any]]) -> bool:
        try:
            answer = client.post("/v1/events", json=events if len(events) > 1 else events[0])
        except httpx.TransportError:
            return False
        if answer.status_code != 202:
            self.refusals.append(f"{answer.status_code} {answer.text[:200]}")
            return False
        self.acknowledged.update({one["event_id"]: one for one in events})
        return True

    def _event(self, number: int, chance: random.Random) -> dict[str, Any]:
        sent: dict[str, Any] = {
            "user_id": f"{self.name}-{chance.randrange(8)}",
            "event_id": f"{self.name}-{number}",
            "timestamp": 1_700_000_000 + 60 * number,
        }
        kind = chance.random()
        if kind < 0.1:
            return {**sent, "event_type": "search", "query": f"words {chance.randrange(50)}"}
        if kind < 0.2:
            n = chance.randrange(40)
            features = {"title": f"born {n}", "category": "sport"}
            more = {"item_id": f"born-{n}", "item_features": features}
            return {**sent, "event_type": "click", **more}
        event_type = chance.choice(("view", "click", "purchase", "dislike"))
        return {**sent, "event_type": event_type, "item_id": f"i{chance.randrange(60)}"}


def expected_counts(senders: list[Sender]) -> dict[str, Counter[str]]:
    """What each user's acknowledged events are, by type."""
    found: dict[str, Counter[str]] = {}
    for sender in senders:
        for one in sender.acknowledged.values():
            found.setdefault(one["user_id"], Counter())[one["event_type"]] += 1
    return found


def taste(service: Service, user_id: str) -> dict[str, Any]:
    """The parts of a user that are folded from events."""
    user = service.get(f"/v1/users/{user_id}", vectors=True)
    vectors = {k: v for k, v in user["vectors"].items() if k != "profile"}
    return {"event_count": user["event_count"], "counts": user["counts"], "vectors": vectors}


def load_report(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """The report of `indexer load --json`."""
    assert done.returncode == 0, done.stderr
    report: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return report


def wait_for(ask: Callable[[], bool], patience_s: float = READY_S) -> None:
    """Ask until the answer is true."""
    deadline = time.monotonic() + patience_s
    while not ask():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.005)
