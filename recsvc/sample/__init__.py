"""The shipped sample catalogue: books and real ratings (goodbooks-10k, CC BY-SA 4.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["EVENTS", "ITEMS"]

_FOLDER = Path(__file__).parent / "goodbooks"

ITEMS: Final = _FOLDER / "items.jsonl.gz"
EVENTS: Final = _FOLDER / "events.jsonl.gz"
