"""A log that is carried elsewhere is the same there, however often it is carried."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from logs import Logs, change, deletion, view

from indexer.carry import Carried, export_log, import_log
from indexer.domain.items import Item
from indexer.errors import InvalidInput
from indexer.ports import EventLog, EventRecord, ItemRecord
from indexer.streams.sqlite.log import SqliteLog

pytestmark = pytest.mark.anyio


@pytest.fixture
async def log(logs: Logs) -> EventLog:
    """A log with something of everything in it."""
    opened = await logs.open()
    await opened.append_items(
        [
            change("i1", title="Grüße", tags=["a", "b"]),
            deletion("i2"),
            ItemRecord(0, "other", "i1", Item("other", "i1", {"n": 1}, "a text", 1.5, 2.5)),
        ]
    )
    await opened.append(
        [
            view("e1", metadata={"deep": {"list": [1, None]}}, item_features={"x": True}),
            view("e2", user_id="u2", tenant="other", event_type="rate", value=4.5),
            view("e3", event_type="search", item_id=None, query="space 'opera'"),
            view("e4", event_type="retract", retracts="e1", item_id=None),
            view("gone", user_id="erased"),
        ]
    )
    await opened.erase_user("default", "erased")
    return opened


async def everything(log: EventLog) -> tuple[list[EventRecord], list[ItemRecord]]:
    """Read all that a log holds."""
    events, items = [], []
    for partition in range(log.partitions):
        events += await log.read(partition, 0, 1_000)
        items += await log.read_items(partition, 0, 1_000)
    return events, items


async def test_an_imported_log_has_the_same_events_and_items(log: EventLog, tmp_path: Path) -> None:
    for name in ("log.jsonl", "log.jsonl.gz"):
        file = str(tmp_path / name)
        assert await export_log(log, file) == Carried(events=4, items=3)
        other = await SqliteLog.open(tmp_path / f"{name}.sqlite", queue_max=1_000)
        assert await import_log(other, file) == Carried(events=4, items=3)
        assert await import_log(other, file) == Carried(events=0, items=3, known=4)
        events, items = await everything(other)
        there = {r.event.event_id: r.event for r in events}
        here = {
            r.event.event_id: r.event
            for r in (await everything(log))[0]
            if r.event.user_id != "erased"
        }
        assert there == here
        assert {(r.tenant, r.item_id): r.item for r in items} == {
            (r.tenant, r.item_id): r.item for r in (await everything(log))[1]
        }
        await other.close()


async def test_an_event_whose_id_is_taken_is_counted_and_the_others_come(
    log: EventLog, tmp_path: Path
) -> None:
    file = str(tmp_path / "log.jsonl")
    await export_log(log, file)
    other = await SqliteLog.open(tmp_path / "other.sqlite", queue_max=1_000)
    await other.append([view("e1", item_id="something else")])
    assert await import_log(other, file) == Carried(events=3, items=3, refused=1)
    await other.close()


async def test_what_events_brought_takes_nothing_from_the_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    item = {"tenant": "default", "item_id": "i1", "item": {"features": {"v": 1}}}
    brought = {**item, "item": {"features": {"v": 2}}, "only_unknown": True}
    file.write_bytes(b"\n".join(orjson.dumps(one) for one in (item, brought)))
    log = await SqliteLog.open(tmp_path / "events.sqlite", queue_max=1_000)
    await import_log(log, str(file))
    ((record,)) = await log.read_items(0, 0, 10)
    assert record.item is not None
    assert record.item.features == {"v": 1}
    await log.close()


@pytest.mark.parametrize("line", ["nothing", "{}", '{"event": {}}', "[1]", '{"item_id": "x"}'])
async def test_a_line_that_was_never_exported_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text(line + "\n")
    log = await SqliteLog.open(tmp_path / "events.sqlite", queue_max=1_000)
    with pytest.raises(InvalidInput, match=r"log\.jsonl\.1: no exported line"):
        await import_log(log, str(file))
    await log.close()


async def test_a_file_that_is_not_there_is_told_of(log: EventLog, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        await import_log(log, str(tmp_path / "none.jsonl"))
    with pytest.raises(InvalidInput, match="cannot be written"):
        await export_log(log, str(tmp_path / "no" / "folder" / "log.jsonl"))
