"""Names of collections on a server: each collection is behind an alias, and has a generation.

`items` is an alias of `items-1`. What is rebuilt is written to `items-2` and, when it is whole, the
alias is moved to it. Reading, writing, indexes and information follow an alias on the server;
only deleting asks for the collection itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["generation_of", "newest_generation", "physical"]


def physical(alias: str, generation: int) -> str:
    """Name the collection of a generation that is, or is to be, behind an alias."""
    return f"{alias}-{generation}"


def generation_of(alias: str, collection: str) -> int | None:
    """Return the generation of a collection behind an alias, None where it is named otherwise."""
    found = re.fullmatch(re.escape(alias) + r"-([1-9]\d*)", collection)
    return int(found[1]) if found else None


def newest_generation(aliases: Mapping[str, str], prefix: str) -> int:
    """Return the newest generation that is in use with a prefix; 0 for none."""
    ours = {alias: name for alias, name in aliases.items() if alias.startswith(prefix)}
    return max((generation_of(alias, name) or 0 for alias, name in ours.items()), default=0)
