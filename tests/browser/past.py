"""What a data directory holds that does not come about by using a service for a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from indexer.domain.events import Event
from indexer.provider.ledger import CallRecord, Ledger
from indexer.settings import load_settings
from indexer.streams import open_streams
from indexer.telemetry import Telemetry

DAYS: Final = 21
CALLS: Final = 12
LETTERS: Final = 5
REASON: Final = "ValueError: the value of rate must be 1..5, not nan"


def leave(folder: Path) -> None:
    """Have had calls to a provider for some weeks, and events that could not be folded.

    No service may run on ``folder``.
    """
    _do(_fail(folder))
    _do(_spend(folder))


def _do(job: Coroutine[Any, Any, None]) -> None:
    """Run on a thread of its own, as the browser's driver has the event loop of this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, job).result()


async def _fail(folder: Path) -> None:
    streams = await open_streams(
        load_settings(data_dir=folder, event_log_url="sqlite", _env_file=None)
    )
    now = datetime.now(UTC).timestamp()
    await streams.log.append(
        [
            Event(
                tenant="default",
                event_id=f"failed-{n}",
                user_id=f"eve-{n}",
                event_type="rate",
                item_id=f"book-{n + 1}",
                value=4.0,
                timestamp=now - 60.0 * n,
            )
            for n in range(LETTERS)
        ]
    )
    for record in await streams.log.read(0, 0, LETTERS):
        await streams.log.add_dead_letter(record, REASON)
    await streams.log.close()


async def _spend(folder: Path) -> None:
    for past in range(DAYS, -1, -1):
        at = datetime.now(UTC) - timedelta(days=past)
        ledger = await Ledger.open(folder, Telemetry(), clock=at.timestamp)
        busy = 1 + (at.weekday() < 5) + past % 3 / 4
        for purpose, model, tokens, usd in (
            ("embedding", "text-embedding-3-small", 40_000, 0.0008),
            ("profile", "deepseek-v3.2", 24_000, 0.0167),
            ("summary", "deepseek-v3.2", 6_000, 0.0044),
        ):
            call = CallRecord(
                purpose=purpose,
                provider="api.example.com",
                model=model,
                outcome="ok",
                tokens_in=int(tokens * busy / CALLS),
                tokens_out=0 if purpose == "embedding" else int(tokens * busy / CALLS / 8),
                cost_usd=usd * busy / CALLS,
                latency_s=0.3,
            )
            for _ in range(CALLS):
                ledger.record(call)
        ledger.count_events(int(1_800 * busy))
        await ledger.close()
