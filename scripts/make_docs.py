"""Writes the pages that are made from the code; `--check` only tells whether they are current."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from indexer.domain.events import DEFAULT_WEIGHTS
from indexer.settings import PREFIX, Settings
from indexer.streams.codec import LoggedEvent

DOCS = Path(__file__).parent.parent / "docs"
PAGE, SCHEMA = DOCS / "configuration.md", DOCS / "event.schema.json"

_HEAD = """# Configuration

Settings are environment variables, or lines of a `.env` file in the working directory. A wrong
value stops the start with one line that names the variable, the value and what is accepted; a
`RECSVC_` variable that is no setting is warned of.

This page is made from the settings by `scripts/make_docs.py`; a test keeps it current.

| variable | default | meaning |
|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    made = {PAGE: page(), SCHEMA: schema()}
    if not parser.parse_args().check:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [p for p, text in made.items() if not p.exists() or p.read_text("utf-8") != text]
    for path in stale:
        print(f"{path} is stale; run scripts/make_docs.py", file=sys.stderr)
    return 1 if stale else 0


def schema() -> str:
    """Return the JSON schema of an event in a shared log."""
    fields = LoggedEvent.model_json_schema()
    named = {"$schema": "https://json-schema.org/draft/2020-12/schema", **fields}
    return json.dumps(named, indent=2) + "\n"


def page() -> str:
    """Return the page."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    weights = ", ".join(f"`{name}` {weight:g}" for name, weight in DEFAULT_WEIGHTS.items())
    tail = f"\nDefault event weights: {weights} (`rate` times value - 3).\n"
    return _HEAD + "\n".join(rows) + "\n" + tail


def _row(name: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined or value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, frozenset):
        return f"`{','.join(sorted(value))}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    whole = isinstance(value, float) and value.is_integer()
    return f"`{int(value) if whole else value}`"


if __name__ == "__main__":
    sys.exit(main())
