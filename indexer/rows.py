"""Rows of JSONL, CSV and Parquet files, gzipped or not, or of standard input."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal

import orjson

from indexer.errors import InvalidInput, SettingsError

__all__ = ["Kind", "Row", "kind_of", "read_rows", "size_of"]

Kind = Literal["items", "events"]

_ITEM_FIELDS: Final = {"item_id", "features", "text", "available_from", "available_until"}
_EVENT_FIELDS: Final = {
    "event_id", "user_id", "event_type", "item_id", "value", "query", "timestamp", "retracts",
}  # fmt: skip
_VERBATIM: Final = {"item_id", "user_id", "event_id", "retracts", "query", "text", "features"}
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_INTEGER_MAX, _DIGITS_MAX = 2**53, 300
_LIST_SEPARATOR = "|"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARQUET_BATCH = 1_000
_CELL_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number from 1, the bytes read so far, and its JSON, or why there is none."""

    number: int
    read: int
    fields: Mapping[str, Any] | None
    raw: str
    reason: str | None = None


def size_of(path: str) -> int | None:
    """Return the bytes that `Row.read` will run up to; None where that cannot be told."""
    return Path(path).stat().st_size if path != "-" and Path(path).exists() else None


def kind_of(fields: Mapping[str, Any]) -> Kind:
    """Tell items from events by the fields of a row."""
    return "events" if "event_type" in fields or "user_id" in fields else "items"


def read_rows(path: str) -> Iterator[Row]:
    """Read a file's rows; ``-`` is JSON lines on standard input.

    Raises:
        InvalidInput: the file cannot be read, or its ending is none that is known.
        SettingsError: Parquet without the extra that reads it.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    try:
        if kind == ".parquet":
            yield from _parquet(path)
            return
        with _opened(path) as (raw, lines):
            if path == "-" or kind in (".jsonl", ".ndjson", ".json"):
                yield from _json_lines(raw, lines)
            elif kind in (".csv", ".tsv"):
                yield from _csv(raw, lines, "\t" if kind == ".tsv" else ",")
            else:
                raise InvalidInput(
                    f"{path}: .jsonl, .csv, .tsv (each may end in .gz) and .parquet are accepted"
                )
    except (OSError, EOFError, zlib.error) as exc:
        raise InvalidInput(f"{path}: {getattr(exc, 'strerror', None) or exc}") from exc


@contextmanager
def _opened(path: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Give the file as it lies on disk, to tell progress by, and its unzipped content."""
    if path == "-":
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with Path(path).open("rb") as raw:
        if path.lower().endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as unzipped:
                yield raw, io.BufferedReader(unzipped)
        else:
            yield raw, raw


def _json_lines(raw: IO[bytes], lines: IO[bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        line = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        if not line.strip():
            continue
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError as exc:
            yield Row(number, _told(raw), None, text, f"not JSON: {exc}")
            continue
        if isinstance(fields, dict):
            yield Row(number, _told(raw), fields, text)
        else:
            yield Row(number, _told(raw), None, text, "not a JSON object")


def _csv(raw: IO[bytes], lines: IO[bytes], delimiter: str) -> Iterator[Row]:
    text = io.TextIOWrapper(lines, encoding="utf-8-sig", errors="replace", newline="")
    csv.field_size_limit(_CELL_MAX)  # beyond csv's own 128 KiB, so that only the row is refused
    try:
        reader = csv.DictReader(text, delimiter=delimiter, strict=True)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                yield Row(reader.line_num, _told(raw), None, "", f"not CSV: {exc}")
            else:
                yield _csv_row(reader, cells, _told(raw))
    finally:
        text.detach()  # the file below is closed by who opened it


def _csv_row(reader: csv.DictReader[str], cells: dict[str, Any], read: int) -> Row:
    shown = orjson.dumps(cells, option=orjson.OPT_NON_STR_KEYS).decode()
    if None in cells or None in cells.values():
        reason = f"{len(reader.fieldnames or [])} columns are expected"
        return Row(reader.line_num, read, None, shown, reason)
    filled = {
        name: value if name in _VERBATIM else _cell(value)
        for name, value in cells.items()
        if value != ""
    }
    return _row(reader.line_num, read, filled, shown)


def _row(number: int, read: int, cells: Mapping[str, Any], shown: str) -> Row:
    try:
        return Row(number, read, _gathered(cells), shown)
    except ValueError as exc:
        return Row(number, read, None, shown, f"features: {exc}")


def _parquet(path: str) -> Iterator[Row]:
    try:
        import pyarrow.parquet as parquet
        from pyarrow import ArrowException
    except ImportError as exc:
        raise SettingsError("Parquet files need pip install 'recsvc[parquet]'") from exc
    try:
        file = parquet.ParquetFile(path)
        size, rows = Path(path).stat().st_size, max(file.metadata.num_rows, 1)
        number = 0
        for batch in file.iter_batches(_PARQUET_BATCH):
            for cells in batch.to_pylist():
                number += 1
                filled = {k: _plain(v) for k, v in cells.items() if v is not None}
                shown = orjson.dumps(filled, default=str).decode()
                yield _row(number, size * number // rows, filled, shown)
    except ArrowException as exc:
        raise InvalidInput(f"{path}: {exc}") from exc


def _gathered(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the fields of an item or an event, and make features of an item's other columns."""
    if kind_of(cells) == "events":
        event = {k: v for k, v in cells.items() if k in _EVENT_FIELDS}
        other = {k: v for k, v in cells.items() if k not in _EVENT_FIELDS}
        event = {k: str(v) if k.endswith("_id") else v for k, v in event.items()}
        return {**event, "metadata": other} if other else event
    item = {k: v for k, v in cells.items() if k in _ITEM_FIELDS}
    features = item.get("features", {})
    if isinstance(features, str):
        features = orjson.loads(features)
    if not isinstance(features, dict):
        raise ValueError("a column of this name must hold JSON objects")
    other = {k: v for k, v in cells.items() if k not in _ITEM_FIELDS}
    if "item_id" in item:
        item["item_id"] = str(item["item_id"])
    return {**item, "features": {**features, **other}}


def _cell(text: str) -> Any:
    """Read a CSV cell: a list where there is a ``|``, a number where it is written as one.

    ``007``, ``+49`` and ``1e5`` are codes rather than numbers, and stay as they are.
    """
    if _LIST_SEPARATOR in text:
        return [part.strip() for part in text.split(_LIST_SEPARATOR) if part.strip()]
    if _NUMBER.fullmatch(text) and len(text) <= _DIGITS_MAX:
        number = float(text) if "." in text else int(text)
        return number if abs(number) <= _INTEGER_MAX else text
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, (str, int, float, bool, dict)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _told(raw: IO[bytes]) -> int:
    return raw.tell() if raw.seekable() else 0
