"""A stream of events by several clients, and what counts of it in the end."""

from __future__ import annotations

import itertools
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from processes import Service

EVENTS, USERS, SENDERS, CHUNK = 50_000, 1_000, 4, 250
SENT_S = FOLDED_S = 300.0
_STREAM_S = 1_700_000_000


@dataclass(slots=True)
class Sender:
    """A client that sends its own users' events in order, again until they are taken."""

    urls: list[str]
    events: list[dict[str, Any]]
    pause_s: float = 0.0
    sent: int = 0
    failed: str = ""
    _thread: threading.Thread | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Send until everything is sent."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self, patience_s: float) -> None:
        """Wait until everything is sent."""
        assert self._thread is not None
        self._thread.join(patience_s)
        self._stop.set()
        self._thread.join()
        assert self.sent == len(self.events), self.failed

    def _run(self) -> None:
        with httpx.Client(timeout=30.0, trust_env=False) as client:
            for url in itertools.cycle(self.urls):
                if self.sent == len(self.events) or self._stop.is_set():
                    return
                chunk = self.events[self.sent : self.sent + CHUNK]
                try:
                    answer = client.post(f"{url}/v1/events", json=chunk)
                    self.failed = answer.text if answer.status_code != 202 else ""
                except httpx.TransportError as exc:
                    self.failed = repr(exc)
                if self.failed:
                    time.sleep(0.2)
                else:
                    self.sent += len(chunk)
                    time.sleep(self.pause_s)


@dataclass(frozen=True, slots=True)
class Stream:
    """Events by sender. Some are sent twice, as clients do that had no answer."""

    by_sender: list[list[dict[str, Any]]]

    @classmethod
    def of(cls, count: int, seed: int) -> Stream:
        """Make ``count`` events of `USERS` users, each of whom has one sender."""
        chance = random.Random(seed)
        sent: list[list[dict[str, Any]]] = [[] for _ in range(SENDERS)]
        for n in range(count):
            user = chance.randrange(USERS)
            kind = chance.choice(("view", "click", "click", "purchase", "dislike", "rate"))
            one: dict[str, Any] = {
                "user_id": f"u{user}",
                "event_id": f"e{n}",
                "event_type": kind,
                "item_id": f"i{chance.randrange(60)}",
                "timestamp": _STREAM_S + n,
            }
            if kind == "rate":
                one["value"] = chance.randint(1, 5)
            queue = sent[user % SENDERS]
            queue.append(one)
            if chance.random() < 0.02:
                queue.append(chance.choice(queue[-100:]))
        return cls(sent)

    def of_users(self) -> dict[str, list[dict[str, Any]]]:
        """Each user's events in the order in which they count, once."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for one in itertools.chain.from_iterable(self.by_sender):
            found.setdefault(one["user_id"], {}).setdefault(one["event_id"], one)
        return {user: list(events.values()) for user, events in found.items()}


def settle(api: Service, patience_s: float = FOLDED_S) -> None:
    """Wait until all that is logged is folded; ask seldom, as it is the workers' turn."""
    deadline = time.monotonic() + patience_s
    while api.get("/v1/stats")["queue_depth"]:
        assert time.monotonic() < deadline, "the queue does not empty"
        time.sleep(0.5)
