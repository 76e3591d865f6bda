"""Measures APIs and workers as processes of their own: what an event and a list cost each of them.

Everything runs on this machine, so that what one process can do alone is told by the processor time
it takes for one event or list, which is the same wherever the others run. The log is a real Valkey
or a real broker of Kafka's protocol; Qdrant is what RECSVC_TEST_QDRANT_URL names, or else a
stand-in, whose own time says nothing of Qdrant's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS / "standins")]

from fleet import Broker, Fleet, OverKafka, OverRedis, qdrant_server, wait_until_shared
from kafka_broker import running as running_broker
from processes import Service
from rich.console import Console
from rich.table import Table
from streams import Sender, Stream
from valkey_server import ValkeyServer

_ITEMS, _LISTS, _ALONE = 1_000, 2_000, 300
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds of a processor, and of waiting."""

    events_s: float
    append_ms: float
    fold_ms: float
    list_ms: float
    cached_ms: float
    applied_ms: tuple[float, float]
    worker_mb: float
    api_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", choices=["redis", "kafka"], default="redis")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=1536)
    parser.add_argument("--transport", choices=["grpc", "rest"], default="grpc")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        broker = stack.enter_context(_broker(given.log, Path(folder)))
        qdrant = stack.enter_context(qdrant_server())
        fleet = Fleet(Path(folder), broker, qdrant)
        if given.transport == "grpc":
            fleet.settings["RECSVC_QDRANT_GRPC_PORT"] = _grpc_port(qdrant)
        fleet.settings["RECSVC_EMBEDDING_DIM"] = str(given.dim)
        fleet.settings.pop("RECSVC_LEARN_EVERY")
        stack.callback(fleet.close)
        figures = measure(fleet, given.workers, given.events)
    show(figures, f"log: {given.log}, Qdrant over {given.transport}, workers: {given.workers}")


def measure(fleet: Fleet, count: int, events: int) -> Figures:
    """Start an API and workers, play a stream, ask for lists."""
    workers, api = [fleet.worker() for _ in range(count)], fleet.api()
    wait_until_shared(workers)
    for start in range(0, _ITEMS, 200):
        items = [_item(n) for n in range(start, start + 200)]
        api.post("/v1/items", items)
    stream = Stream.of(events, seed=1)
    senders = [Sender([api.url], sent) for sent in stream.by_sender]
    began, api_s, worker_s = time.monotonic(), _cpu_s([api]), _cpu_s(workers)
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(300.0)
    append_s = _cpu_s([api]) - api_s
    _settle(api)
    took_s, fold_s = time.monotonic() - began, _cpu_s(workers) - worker_s
    applied = _applied(api)
    users = list(stream.of_users())
    fresh_s = _lists(api, users, fresh=True)
    cached_s = _lists(api, users, fresh=False)
    p50, p99 = np.percentile(np.array(applied) * 1e3, [50, 99])
    return Figures(
        events_s=events / took_s,
        append_ms=append_s / events * 1e3,
        fold_ms=fold_s / events * 1e3,
        list_ms=fresh_s * 1e3,
        cached_ms=cached_s * 1e3,
        applied_ms=(float(p50), float(p99)),
        worker_mb=max(_memory_mb(worker) for worker in workers),
        api_mb=_memory_mb(api),
    )


def show(figures: Figures, title: str) -> None:
    """Print the figures."""
    table = Table("what", "processor time", "so one core does")
    for what, ms in (
        ("worker: fold an event", figures.fold_ms),
        ("API: accept an event (250 in a request)", figures.append_ms),
        ("API: a fresh list", figures.list_ms),
        ("API: a cached list", figures.cached_ms),
    ):
        table.add_row(what, f"{ms:.2f} ms", f"{1e3 / ms:,.0f}/s")
    console = Console()
    console.print(title)
    console.print(table)
    console.print(
        f"all processes on this machine: {figures.events_s:,.0f} events/s; "
        f"sent to applied, one at a time: p50 {figures.applied_ms[0]:.1f} ms, "
        f"p99 {figures.applied_ms[1]:.1f} ms; "
        f"memory: worker {figures.worker_mb:.0f} MB, API {figures.api_mb:.0f} MB"
    )


@contextlib.contextmanager
def _broker(kind: str, folder: Path) -> Iterator[Broker]:
    if kind == "kafka":
        with running_broker() as kafka:
            yield OverKafka(kafka)
        return
    valkey = ValkeyServer(folder / "valkey").start()
    try:
        yield OverRedis(valkey)
    finally:
        valkey.stop()


def _grpc_port(qdrant: str) -> str:
    """Return the port that is set, or that the stand-in tells."""
    if "RECSVC_QDRANT_GRPC_PORT" in os.environ:
        return os.environ["RECSVC_QDRANT_GRPC_PORT"]
    return str(httpx.get(f"{qdrant}/stand-in", trust_env=False).json()["grpc_port"])


def _item(n: int) -> dict[str, object]:
    kinds = ("garden", "kitchen", "novels", "sport")
    features = {"title": f"{kinds[n % 4]} thing {n}", "category": kinds[n % 4], "price": n + 0.5}
    return {"item_id": f"i{n}", "features": features}


def _settle(api: Service) -> None:
    while api.get("/v1/stats")["queue_depth"]:
        time.sleep(0.2)


def _applied(api: Service) -> list[float]:
    """Send events one at a time; return the seconds until each is visible."""
    waits = []
    for n in range(_ALONE):
        one = {"user_id": f"w{n % 20}", "event_type": "click", "item_id": f"i{n}"}
        began = time.monotonic()
        api.post("/v1/events", one, wait="applied", timeout_s=10)
        waits.append(time.monotonic() - began)
    return waits


def _lists(api: Service, users: list[str], *, fresh: bool) -> float:
    """Ask for lists of ten; return the processor seconds of one."""
    asked = users[:200]

    def ask(n: int) -> None:
        # An exclusion that was never asked for before is in no cache.
        more = {"exclude": f"none-{n}"} if fresh else {}
        client.get(f"/v1/users/{asked[n % len(asked)]}/recommendations", params=more)

    with httpx.Client(base_url=api.url, timeout=20.0, trust_env=False) as client:
        for n in range(len(asked)):
            ask(n)
        before = _cpu_s([api])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(len(asked), len(asked) + _LISTS)))
        return (_cpu_s([api]) - before) / _LISTS


def _cpu_s(services: list[Service]) -> float:
    """Return the processor time that processes have taken."""
    total = 0.0
    for service in services:
        assert service.process is not None
        fields = Path(f"/proc/{service.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) * _TICK_S
    return total


def _memory_mb(service: Service) -> float:
    assert service.process is not None
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
