#!/usr/bin/env python3
"""Make the small book catalogue that ships with recsvc.

Reads a goodbooks-style source, as JSON lines, gzipped or plain:

    items   {"item_id": "1", "features": {"title": "...", "rating": 4.34, ...}}
    events  {"user_id": "58", "event_type": "rate", "item_id": "26", "value": 5}

Events are in time order and have no times. The most-rated items are kept, then a sample of the
users who rated at least 20 of them, with those users' ratings in their original order. The same
source, options and seed give the same output:

    <out>/items.jsonl.gz   {"item_id": "book-1", "features": {...}}
    <out>/events.jsonl.gz  {"event_id": "gb-7", "user_id": "reader-58", "event_type": "rate",
                            "item_id": "book-26", "value": 5}

An event id is the event's line number in the source, so it does not depend on the sample drawn.

    scripts/make_sample.py --items items.jsonl.gz --events events.jsonl.gz
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import NamedTuple, NoReturn

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "recsvc" / "sample" / "goodbooks"
MIN_RATINGS = 20
FEATURES = {
    "title": "title",
    "authors": "authors",
    "genres": "genres",
    "category": "category",
    "year": "year",
    "language": "language",
    "rating": "average_rating",
}
ID_PATTERN = re.compile(r"[A-Za-z0-9_.:@-]{1,128}")
GZIP_MAGIC = b"\x1f\x8b"

Record = dict[str, object]


class SourceError(Exception):
    """The source cannot be used; the message says where and why."""


class Place(NamedTuple):
    path: Path
    line: int

    def fail(self, problem: str) -> NoReturn:
        raise SourceError(f"{self.path}, line {self.line}: {problem}")


class Rating(NamedTuple):
    line: int
    user_id: str
    item_id: str
    value: int | float


def read_lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    place = Place(path, 0)
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            raw.seek(0)
            for number, line in enumerate(gzip.GzipFile(fileobj=raw) if packed else raw, start=1):
                place = Place(path, number)
                if line.strip():
                    yield place, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path}: damaged gzip after line {place.line}: {error}") from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error


def read_records(path: Path) -> Iterator[tuple[Place, Record]]:
    for place, line in read_lines(path):
        try:
            record: object = json.loads(line.decode("utf-8"))
        except ValueError as error:
            place.fail(f"not JSON: {error}")
        if not isinstance(record, dict):
            place.fail("expected a JSON object")
        yield place, record


def id_of(record: Mapping[str, object], field: str, prefix: str, place: Place) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value:
        place.fail(f"{field} must be a non-empty string, not {value!r}")
    renamed = prefix + value
    if not ID_PATTERN.fullmatch(renamed):
        place.fail(f"{field} {value!r} makes {renamed!r}, which must match {ID_PATTERN.pattern}")
    return renamed


def clean_features(source: Mapping[str, object]) -> Record:
    renamed = {new: source.get(old) for old, new in FEATURES.items()}
    return {name: value for name, value in renamed.items() if value not in (None, "", [], {})}


def read_items(path: Path) -> dict[str, Record]:
    items: dict[str, Record] = {}
    for place, record in read_records(path):
        item_id = id_of(record, "item_id", "book-", place)
        if item_id in items:
            place.fail(f"item_id {record['item_id']!r} occurs twice")
        features = record.get("features")
        if not isinstance(features, dict):
            place.fail(f"features must be an object, not {features!r}")
        items[item_id] = clean_features(features)
    if not items:
        raise SourceError(f"{path}: no items")
    return items


def read_rating(record: Mapping[str, object], items: Set[str], place: Place) -> Rating:
    kind, value = record.get("event_type"), record.get("value")
    if kind != "rate":
        place.fail(f"event_type must be 'rate', not {kind!r}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 5:
        place.fail(f"value must be a number from 1 to 5, not {value!r}")
    user_id = id_of(record, "user_id", "reader-", place)
    item_id = id_of(record, "item_id", "book-", place)
    if item_id not in items:
        place.fail(f"item_id {record['item_id']!r} is not among the items")
    return Rating(place.line, user_id, item_id, value)


def read_ratings(path: Path, items: Set[str]) -> list[Rating]:
    ratings = [read_rating(record, items, place) for place, record in read_records(path)]
    if not ratings:
        raise SourceError(f"{path}: no events")
    return ratings


def most_rated(items: Iterable[str], ratings: Iterable[Rating], limit: int) -> set[str]:
    """The `limit` items with the most ratings; of equals, those first in the source."""
    counts = Counter(rating.item_id for rating in ratings)
    return set(sorted(items, key=lambda item_id: -counts[item_id])[:limit])


def sample_users(ratings: Iterable[Rating], limit: int, seed: int) -> set[str]:
    """Draw by hash, so that neither input order nor the Python version changes the sample."""

    def rank(user_id: str) -> bytes:
        return hashlib.sha256(f"{seed}:{user_id}".encode()).digest()

    counts = Counter(rating.user_id for rating in ratings)
    active = [user_id for user_id, count in counts.items() if count >= MIN_RATINGS]
    return set(sorted(active, key=rank)[:limit])


def as_event(rating: Rating) -> Record:
    return {
        "event_id": f"gb-{rating.line}",
        "user_id": rating.user_id,
        "event_type": "rate",
        "item_id": rating.item_id,
        "value": rating.value,
    }


def write_records(path: Path, records: Iterable[Record]) -> int:
    lines = (json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records)
    text = "".join(f"{line}\n" for line in lines)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(text.encode("utf-8"))
    return path.write_bytes(packed.getvalue())


def make_sample(options: argparse.Namespace) -> str:
    items = read_items(options.items)
    ratings = read_ratings(options.events, items.keys())
    kept = most_rated(items, ratings, options.max_items)
    ratings = [rating for rating in ratings if rating.item_id in kept]
    users = sample_users(ratings, options.max_users, options.seed)
    if not users:
        raise SourceError(f"{options.events}: no user has {MIN_RATINGS} ratings of the kept items")
    ratings = [rating for rating in ratings if rating.user_id in users]
    records: list[Record] = [
        {"item_id": item_id, "features": features}
        for item_id, features in items.items()
        if item_id in kept
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    item_bytes = write_records(options.out / "items.jsonl.gz", records)
    event_bytes = write_records(options.out / "events.jsonl.gz", map(as_event, ratings))
    return (
        f"{len(records):,} items ({item_bytes:,} bytes), {len(ratings):,} ratings "
        f"by {len(users):,} users ({event_bytes:,} bytes) in {options.out}"
    )


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=Path, required=True, help="items, as JSON lines")
    parser.add_argument("--events", type=Path, required=True, help="ratings, as JSON lines")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write into")
    parser.add_argument("--max-items", type=positive, default=5000, help="default: %(default)s")
    parser.add_argument("--max-users", type=positive, default=500, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return parser.parse_args()


def main() -> int:
    try:
        print(make_sample(parse_options()))
    except SourceError as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"make_sample: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
