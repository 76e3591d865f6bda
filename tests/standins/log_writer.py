"""Another process that appends to the log file at PATH, for tests of durability and sharing.

    python tests/standins/log_writer.py PATH USER

appends one event for each line of its input (the line is the event id), and answers each with
the offset once the append has returned.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from indexer.domain.events import Event
from indexer.streams.sqlite import SqliteLog


async def main(path: Path, user_id: str) -> None:
    log = await SqliteLog.open(path, queue_max=1_000)
    for line in sys.stdin:  # nothing else runs on this loop
        event_id = line.strip()
        event = Event("default", user_id, event_id, "view", 1.0, item_id="i1", fingerprint=event_id)
        accepted = await log.append([event])
        print(accepted.offset, flush=True)
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
