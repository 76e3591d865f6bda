"""Another process that follows a shared log, for tests of handing partitions on.

    python tests/standins/feed_reader.py MODULE:LOG ARGUMENTS MODULE:FEED ARGUMENTS STORE

opens the log and makes a feed of it (arguments: JSON), whose partitions begin where the file STORE
says. It tells what it owns and has read (JSON, a line whenever that changes), and does what the
lines of its input say: ``apply`` all that it has read, or ``commit``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from log_writer import loaded, opened

from indexer.domain.events import DEFAULT_WEIGHTS
from indexer.domain.position import Position, position_of
from indexer.ports import CHANNELS, Channel, Feed

_LOOK_EVERY_S = 0.02
_READ_MAX = 1_000


class Store:
    """What is applied by whichever process, as a vector store has it: in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def positions(self) -> dict[Channel, dict[int, int]]:
        """Return the applied offsets."""
        held = json.loads(self.path.read_text()) if self.path.exists() else {}
        return {c: {int(p): o for p, o in held.get(c, {}).items()} for c in CHANNELS}

    def apply(self, channel: Channel, position: Position) -> None:
        """Take in what is newer than what is held."""
        held = self.positions()
        for partition, offset in position.items():
            held[channel][partition] = max(offset, held[channel].get(partition, 0))
        written = self.path.with_suffix(".new")
        written.write_text(json.dumps(held))
        written.replace(self.path)

    def of(self, partitions: frozenset[int]) -> dict[Channel, Position]:
        """Return the applied offsets of partitions, 0 where there are none."""
        held = self.positions()
        return {c: {p: held[c].get(p, 0) for p in partitions} for c in CHANNELS}


class _Owner:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, partitions: frozenset[int]) -> Mapping[Channel, Position]:
        return self._store.of(partitions)

    async def release(self, partitions: frozenset[int]) -> None:
        """Nothing is kept back."""


async def main(log: str, log_arguments: str, feed: str, feed_arguments: str, path: str) -> None:
    followed = await opened(log, json.loads(log_arguments))
    store = Store(Path(path))
    arguments = {"weights": DEFAULT_WEIGHTS, **json.loads(feed_arguments)}
    following: Feed = loaded(feed)(followed, _Owner(store), **arguments)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(following.run())
        tasks.create_task(_tell(following))
        tasks.create_task(_obey(following, store))


async def _tell(feed: Feed) -> None:
    told: Any = None
    while True:
        read = [r.event.event_id for r in await feed.read("events", _READ_MAX)]
        state = {"owned": sorted(feed.owned), "read": sorted(read)}
        if state != told:
            print(json.dumps(state), flush=True)
            told = state
        await asyncio.sleep(_LOOK_EVERY_S)


async def _obey(feed: Feed, store: Store) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "commit":
            await feed.commit()
            continue
        records = await feed.read("events", _READ_MAX)
        position = position_of((r.partition, r.offset) for r in records)
        store.apply("events", position)
        feed.applied("events", position)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
