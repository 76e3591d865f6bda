"""Business rules: what a shop wants shown more, less, at a place, or not at all, from a TOML file.

A table of the file is a tenant's; `[default]` is of the tenant of that name and of each one that
has no table. A tenant's own table replaces `[default]` as a whole: nothing is merged, so that all
that holds for a tenant stands in one place. What a table leaves out is off.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from indexer.domain.ids import DEFAULT_TENANT, is_id
from indexer.errors import SettingsError
from recsvc.filters import FILTERS_MAX
from recsvc.match import Matches, compile_filters

__all__ = ["NO_RULES", "Boost", "Cap", "Hide", "Pin", "Rules", "RulesFile", "parse_rules"]

_log = logging.getLogger(__name__)

_BOOSTS_MAX, _PINS_MAX, _CAPS_MAX, _HIDES_MAX = 20, 20, 10, 10
_FACTOR_LEAST, _FACTOR_MOST = 0.1, 10.0
_PLACES_MAX = 100
_LOOK_EVERY_S = 1.0
_SHARES: Final = ("novelty", "exploration", "fatigue")
_ID: Final = "an id, 1..128 of A-Z a-z 0-9 _ . : @ -"
_FEATURE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filtered:
    """What holds for the items that all of ``filter`` hold for, which ``matches`` tells.

    Making one raises ValueError where a filter is malformed.
    """

    filter: tuple[str, ...] = ()
    matches: Matches = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matches", compile_filters(self.filter))


@dataclass(frozen=True, slots=True)
class Boost(_Filtered):
    """Multiplies scores by ``factor``; one below 1 buries."""

    factor: float


@dataclass(frozen=True, slots=True)
class Pin(_Filtered):
    """Puts an item at a position, 1 the first, while its own features satisfy ``filter``.

    ``start_at``, ``until_at``: unix seconds, the second excluded; None is unbounded.
    """

    item_id: str
    position: int
    start_at: float | None = None
    until_at: float | None = None

    def active(self, now: float) -> bool:
        """Whether the pin holds at ``now``, in unix seconds."""
        begun = self.start_at is None or self.start_at <= now
        return begun and (self.until_at is None or now < self.until_at)


@dataclass(frozen=True, slots=True)
class Cap:
    """Lets at most ``most`` items of one list share a value of ``feature``."""

    feature: str
    most: int


@dataclass(frozen=True, slots=True)
class Hide(_Filtered):
    """Leaves items out."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All that holds for a tenant; as made without arguments, nothing does.

    In 0..1: ``novelty`` lowers popular items, ``exploration`` is the share of what strangers'
    lists are given to try out, ``fatigue`` is what each view without a click lowers an item by.
    """

    novelty: float = 0.0
    exploration: float = 0.0
    fatigue: float = 0.0
    boosts: tuple[Boost, ...] = ()
    pins: tuple[Pin, ...] = ()
    caps: tuple[Cap, ...] = ()
    hides: tuple[Hide, ...] = ()

    def factor(self, features: Mapping[str, Any]) -> float:
        """Return the product of the factors of all boosts that match; 1 where none does."""
        product = 1.0
        for boost in self.boosts:
            if boost.matches(features):
                product *= boost.factor
        return product

    def plus(self, other: Rules) -> Rules:
        """Return these rules and those of a request; where both set a weight, the request's."""
        if other is NO_RULES:
            return self
        return Rules(
            other.novelty or self.novelty,
            other.exploration or self.exploration,
            other.fatigue or self.fatigue,
            self.boosts + other.boosts,
            self.pins + other.pins,
            self.caps + other.caps,
            self.hides + other.hides,
        )

    def hidden(self, features: Mapping[str, Any]) -> bool:
        """Whether an item with these features is to be left out."""
        return any(hide.matches(features) for hide in self.hides)


NO_RULES: Final = Rules()


class RulesFile:
    """The rules of a file, read again soon after it has changed; without a file there are none.

    ``version``: a hash of the text in force, the same in every process, empty without a file; it
    moves in `current`, so ask for that first. ``problem``: what is wrong with the file now, while
    the rules stay as they were. ``clock``: seconds, of any origin.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file.

        Raises:
            SettingsError: it cannot be read, or something in it is not accepted.
        """
        self.path, self._clock = path, clock
        self.problem: str | None = None
        self._looked_at = clock()
        self._stamp = _stamp(path) if path is not None else None
        self._rules, self.version = _read(path) if path is not None else ({}, "")

    def current(self, tenant: str) -> Rules:
        """Return what holds for ``tenant``; looks at the file at most once a second."""
        now = self._clock()
        if self.path is not None and now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._look(self.path)
        return self._rules.get(tenant) or self._rules.get(DEFAULT_TENANT) or NO_RULES

    def _look(self, path: Path) -> None:
        # Taken before the reading: what is written during it is seen at the next look.
        stamp = _stamp(path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._rules, self.version = _read(path)
        except SettingsError as exc:
            self.problem = str(exc)
            _log.error("the rules stay as they were: %s", exc)
            return
        self.problem = None
        _log.info("rules of %d tenants are read again", len(self._rules))


def parse_rules(text: str, source: str) -> Mapping[str, Rules]:
    """Read the rules by tenant. ``source``: what errors call the text.

    Raises:
        SettingsError: naming the key, the value and what is accepted.
    """
    try:
        return {name: _tenant(name, table) for name, table in tomllib.loads(text).items()}
    except (ValueError, RecursionError) as exc:  # the second: brackets, thousands deep
        raise SettingsError(f"{source}: {exc}") from exc


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size  # the second: a new mode, a new file


def _read(path: Path) -> tuple[Mapping[str, Rules], str]:
    source = f"rules file {str(path)!r}"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{source}: {exc}") from exc
    digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    return parse_rules(text, source), digest


def _tenant(name: str, table: Any) -> Rules:
    where = f"[{name[:80]}]"
    if not is_id(name):
        raise ValueError(f"{where} is not the name of a tenant; accepted: {_ID}")
    _only(table, {*_SHARES, "boost", "pin", "cap", "hide"}, where)
    return Rules(
        **{key: _number(table, key, 0.0, 1.0, where) for key in _SHARES if key in table},
        boosts=_entries(name, table, "boost", _BOOSTS_MAX, _boost),
        pins=_entries(name, table, "pin", _PINS_MAX, _pin),
        caps=_entries(name, table, "cap", _CAPS_MAX, _cap),
        hides=_entries(name, table, "hide", _HIDES_MAX, _hide),
    )


def _entries(
    tenant: str,
    table: Mapping[str, Any],
    key: str,
    most: int,
    make: Callable[[Mapping[str, Any], str], T],
) -> tuple[T, ...]:
    found = table.get(key, [])
    if not isinstance(found, list):
        raise _refused(table, key, f"[{tenant}]", f"a list, written [[{tenant}.{key}]]")
    if len(found) > most:
        raise ValueError(f"[[{tenant}.{key}]]: {len(found)} of them; accepted: at most {most}")
    return tuple(make(one, f"[[{tenant}.{key}]] no. {n}") for n, one in enumerate(found, 1))


def _boost(entry: Mapping[str, Any], where: str) -> Boost:
    _only(entry, {"filter", "factor"}, where)
    factor = _number(entry, "factor", _FACTOR_LEAST, _FACTOR_MOST, where)
    return Boost(factor, filter=_filter(entry, where))


def _pin(entry: Mapping[str, Any], where: str) -> Pin:
    _only(entry, {"item_id", "position", "filter", "from", "until"}, where)
    item_id = entry.get("item_id")
    if not isinstance(item_id, str) or not is_id(item_id):
        raise _refused(entry, "item_id", where, _ID)
    position = _number(entry, "position", 1, _PLACES_MAX, where)
    texts = _filter(entry, where) if "filter" in entry else ()
    start_at, until_at = _moment(entry, "from", where), _moment(entry, "until", where)
    if start_at is not None and until_at is not None and start_at >= until_at:
        raise _refused(entry, "until", where, f"a moment after from={entry['from']}")
    return Pin(item_id, position, start_at, until_at, filter=texts)


def _cap(entry: Mapping[str, Any], where: str) -> Cap:
    _only(entry, {"feature", "most"}, where)
    feature = entry.get("feature")
    if not isinstance(feature, str) or not _FEATURE.fullmatch(feature):
        raise _refused(entry, "feature", where, "a feature name: letters, digits, _ and -, 1..64")
    return Cap(feature, _number(entry, "most", 1, _PLACES_MAX, where))


def _hide(entry: Mapping[str, Any], where: str) -> Hide:
    _only(entry, {"filter"}, where)
    return Hide(filter=_filter(entry, where))


def _filter(entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    found = entry.get("filter")
    texts = found if isinstance(found, list) else []
    if not 1 <= len(texts) <= FILTERS_MAX or not all(isinstance(text, str) for text in texts):
        raise _refused(entry, "filter", where, f'1 to {FILTERS_MAX} texts, as ["brand=acme"]')
    try:
        compile_filters(texts)
    except ValueError as exc:
        raise ValueError(f"{where} filter: {exc}") from exc
    return tuple(texts)


def _number(entry: Mapping[str, Any], key: str, least: float, most: float, where: str) -> Any:
    """Return the number of a key; a whole one where ``least`` is an int, else a float."""
    value: Any = entry.get(key)
    kinds = int if isinstance(least, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        kind = "a whole number" if isinstance(least, int) else "a number"
        raise _refused(entry, key, where, f"{kind} from {least:g} to {most:g}")
    return value if isinstance(least, int) else float(value)


def _moment(entry: Mapping[str, Any], key: str, where: str) -> float | None:
    value = entry.get(key)
    if key not in entry:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _refused(entry, key, where, "a moment with its offset, as 2026-01-01T00:00:00Z")
    return value.timestamp()


def _only(entry: Any, accepted: set[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: {entry!r:.80} is no table")
    for key in entry:
        if key not in accepted:
            names = ", ".join(sorted(accepted))
            raise ValueError(f"{where}: {key[:80]!r} is unknown; accepted: {names}")


def _refused(entry: Mapping[str, Any], key: str, where: str, accepted: str) -> ValueError:
    said = f"{key}={entry[key]!r:.80}" if key in entry else f"{key} is missing"
    return ValueError(f"{where} {said}; accepted: {accepted}")
