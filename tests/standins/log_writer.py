"""Another process that appends to a log, for tests of durability and sharing.

    python tests/standins/log_writer.py MODULE:CLASS ARGUMENTS USER

opens the log with ``CLASS.open`` and its keyword arguments (JSON), appends one event for each line
of its input (the line is the event id), and answers each with the position (JSON) once the append
has returned.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any

from indexer.domain.events import Event


async def main(opener: str, arguments: str, user_id: str) -> None:
    log = await opened(opener, json.loads(arguments))
    for line in sys.stdin:  # nothing else runs on this loop
        event_id = line.strip()
        event = Event("default", user_id, event_id, "view", 1.0, item_id="i1", fingerprint=event_id)
        accepted = await log.append([event])
        print(json.dumps(dict(accepted.position)), flush=True)
    await log.close()


async def opened(opener: str, arguments: dict[str, Any]) -> Any:
    """Open a log that is named as on the command line."""
    return await loaded(opener).open(**arguments)


def loaded(name: str) -> Any:
    """Return the class ``MODULE:CLASS``."""
    module, _, made = name.partition(":")
    return getattr(importlib.import_module(module), made)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
