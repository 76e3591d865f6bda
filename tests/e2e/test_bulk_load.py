"""`indexer load`, into a running service and into the data directory."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from processes import Service, catalogue, load_report, run

_COUNT = 450
_ZERO = {"pending": 0, "rejected": 0, "reject_file": None}
Rows = list[dict[str, Any]]


def _items() -> Rows:
    rows = catalogue(_COUNT)
    for n, row in enumerate(rows):
        row["features"]["tags"] = ["new", "gift"] if n % 2 else ["old", "dust"]
    return rows


def _events() -> Rows:
    return [
        {
            "user_id": f"u{n % 5}",
            "event_type": ("view", "purchase")[n % 2],
            "item_id": f"i{n % _COUNT}",
            "timestamp": 1_700_000_000 + n,
        }
        for n in range(1_200)
    ]


def _jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _jsonl_gz(path: Path, rows: Rows) -> Path:
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    features = row.get("features", {})
    plain = {k: v for k, v in row.items() if k != "features"}
    return {**plain, **{k: "|".join(v) if isinstance(v, list) else v for k, v in features.items()}}


def _csv(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, _flat(rows[0]))
        writer.writeheader()
        writer.writerows(_flat(row) for row in rows)
    return path


def _csv_gz(path: Path, rows: Rows) -> Path:
    plain = _csv(path.with_name("plain.csv"), rows)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def _parquet(path: Path, rows: Rows) -> Path:
    flat = [
        {**{k: v for k, v in r.items() if k != "features"}, **r.get("features", {})} for r in rows
    ]
    parquet.write_table(pa.Table.from_pylist(flat), path)
    return path


_FORMATS: list[tuple[str, Callable[[Path, Rows], Path]]] = [
    ("x.jsonl", _jsonl),
    ("x.jsonl.gz", _jsonl_gz),
    ("x.csv", _csv),
    ("x.csv.gz", _csv_gz),
    ("x.parquet", _parquet),
]


@pytest.mark.parametrize(("name", "write"), _FORMATS, ids=[name for name, _ in _FORMATS])
def test_items_and_events_of_every_format_are_loaded_and_not_again(
    service: Service, tmp_path: Path, name: str, write: Callable[[Path, Rows], Path]
) -> None:
    items = str(write(tmp_path / f"items-{name}", _items()))
    events = str(write(tmp_path / f"events-{name}", _events()))
    command = ("indexer", "load", "--json", items, events)
    first = load_report(run(*command, data_dir=service.data_dir))
    assert first[items] == {"read": _COUNT, "stored": _COUNT, "unchanged": 0, **_ZERO}
    assert first[events] == {"read": 1_200, "stored": 1_200, "unchanged": 0, **_ZERO}
    again = load_report(run(*command, data_dir=service.data_dir))
    assert again[items] == {"read": _COUNT, "stored": 0, "unchanged": _COUNT, **_ZERO}
    assert again[events] == {"read": 1_200, "stored": 0, "unchanged": 1_200, **_ZERO}

    service.start()
    service.settle()
    assert service.get("/v1/items/i7")["features"] == _items()[7]["features"]
    user = service.get("/v1/users/u3")
    assert user["event_count"] == 240
    assert user["counts"] == {"view": 120, "purchase": 120}
    answer = service.get("/v1/users/u3/recommendations", filter=["tags~gift", "price<100"])
    assert answer["items"]


def test_files_are_loaded_into_a_running_service_and_not_again(
    service: Service, tmp_path: Path
) -> None:
    service.start()
    items = str(_jsonl(tmp_path / "items.jsonl", _items()))
    events = str(_csv_gz(tmp_path / "events.csv.gz", _events()))
    command = ("indexer", "load", "--json", "--url", service.url, items, events)
    first = load_report(run(*command, data_dir=service.data_dir))
    assert first[items] == {"read": _COUNT, "stored": _COUNT, "unchanged": 0, **_ZERO}
    assert first[events] == {"read": 1_200, "stored": 1_200, "unchanged": 0, **_ZERO}
    again = load_report(run(*command, data_dir=service.data_dir))
    assert (again[items]["stored"], again[items]["unchanged"]) == (0, _COUNT)
    assert (again[events]["stored"], again[events]["unchanged"]) == (0, 1_200)
    service.settle()
    assert service.get("/v1/users/u3")["event_count"] == 240


def test_standard_input_is_loaded(service: Service, tmp_path: Path) -> None:
    body = _jsonl(tmp_path / "x", _items()).read_bytes()
    command = ("indexer", "load", "--json", "-")
    first = load_report(run(*command, data_dir=service.data_dir, stdin=body))
    assert first["-"]["stored"] == _COUNT
    again = load_report(run(*command, data_dir=service.data_dir, stdin=body))
    assert again["-"]["unchanged"] == _COUNT


def test_without_json_a_table_is_printed(data_dir: Path, tmp_path: Path) -> None:
    items = str(_jsonl(tmp_path / "items.jsonl", _items()[:3]))
    done = run("indexer", "load", items, data_dir=data_dir)
    assert done.returncode == 0, done.stderr
    assert "stored" in done.stdout


_BAD_ITEMS = [
    '{"item_id": "good-1", "features": {"title": "good"}}',
    "{not json",
    '{"item_id": "bad id", "features": {}}',
    "[1, 2]",
    '{"item_id": "good-2", "features": {"title": "good"}}',
    '{"item_id": "no-features"}',
    '{"item_id": "nested", "features": {"a": {"b": 1}}}',
]
_BAD_LINES = [2, 3, 4, 6, 7]


@pytest.mark.parametrize("where", ["direct", "url"])
def test_bad_lines_land_in_the_reject_file_with_reasons(
    service: Service, tmp_path: Path, where: str
) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(_BAD_ITEMS))
    command = ["indexer", "load", "--json", str(file)]
    if where == "url":
        service.start()
        command += ["--url", service.url]
    report = load_report(run(*command, data_dir=service.data_dir))[str(file)]
    rejects = tmp_path / "items.jsonl.rejected.jsonl"
    assert report == {
        "read": 7,
        "stored": 2,
        "unchanged": 0,
        "pending": 0,
        "rejected": 5,
        "reject_file": str(rejects),
    }
    rows = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert sorted(row["line"] for row in rows) == _BAD_LINES
    for row in rows:
        assert row["reason"]
        assert row["row"] == _BAD_ITEMS[row["line"] - 1]


@pytest.mark.parametrize("where", ["direct", "url"])
def test_events_that_the_service_refuses_are_rejected_and_the_others_stored(
    service: Service, tmp_path: Path, where: str
) -> None:
    good = [
        {"user_id": "a", "event_type": "view", "item_id": "i", "event_id": f"e{n}"} for n in (1, 2)
    ]
    first = _jsonl(tmp_path / "first.jsonl", good)
    rows = [
        {"user_id": "a", "event_type": "like", "item_id": "i", "event_id": "e1"},
        {"user_id": "b", "event_type": "like", "item_id": "i", "event_id": "e1"},
        {"user_id": "a", "event_type": "hum", "item_id": "i", "event_id": "e3"},
        {"user_id": "a", "event_type": "like", "item_id": "i", "event_id": "e4"},
        {"user_id": "a", "event_type": "view", "item_id": "i", "event_id": "e2"},
    ]
    second = _jsonl(tmp_path / "second.jsonl", rows)
    more = []
    if where == "url":
        service.start()
        more = ["--url", service.url]
    load_report(run("indexer", "load", "--json", str(first), *more, data_dir=service.data_dir))
    done = run("indexer", "load", "--json", str(second), *more, data_dir=service.data_dir)
    report = load_report(done)[str(second)]
    rejects = (tmp_path / "second.jsonl.rejected.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["line"] for line in rejects) == [1, 3]
    assert (report["stored"], report["unchanged"], report["rejected"]) == (2, 1, 2)


def test_the_rejects_of_every_file_are_kept_in_one_reject_file(
    data_dir: Path, tmp_path: Path
) -> None:
    files = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.jsonl"
        file.write_text(f"{name} is not json\n")
        files.append(str(file))
    rejects = tmp_path / "rejects.jsonl"
    command = ("indexer", "load", "--json", "--kind", "items", "--reject-file", str(rejects))
    load_report(run(*command, *files, data_dir=data_dir))
    kept = rejects.read_text()
    assert "one is not json" in kept
    assert "two is not json" in kept


def test_a_load_that_stops_at_a_bad_row_fails_with_one_line_that_names_it(
    data_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(_BAD_ITEMS))
    done = run("indexer", "load", "--on-error", "stop", str(file), data_dir=data_dir)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert str(file) in last
    assert "2" in last
    assert not (tmp_path / "items.jsonl.rejected.jsonl").exists()


def test_a_bad_cell_rejects_its_row_only(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(
        "item_id,features,title\n"
        'a,"{""color"": ""red""}",one\n'
        "b,{broken,two\n"
        'c,"{""sizes"": ""x|y""}",three\n'
        "d,,four\n"
    )
    report = load_report(run("indexer", "load", "--json", str(file), data_dir=data_dir))[str(file)]
    rows = (tmp_path / "items.csv.rejected.jsonl").read_text().splitlines()
    assert [json.loads(row)["line"] for row in rows] == [3]
    assert (report["read"], report["stored"], report["rejected"]) == (4, 3, 1)


def test_a_very_long_cell_does_not_end_the_load(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(f"item_id,title\na,one\nb,{'x' * 200_000}\nc,three\n")
    report = load_report(run("indexer", "load", "--json", str(file), data_dir=data_dir))[str(file)]
    assert (report["stored"], report["rejected"]) == (2, 1)


def test_a_parquet_file_with_a_struct_of_features_is_loaded(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.parquet"
    rows = [{"item_id": r["item_id"], "features": r["features"]} for r in _items()[:20]]
    parquet.write_table(pa.Table.from_pylist(rows), file)
    report = load_report(run("indexer", "load", "--json", str(file), data_dir=data_dir))[str(file)]
    assert (report["stored"], report["rejected"]) == (20, 0)


def test_large_items_are_loaded_into_a_running_service(service: Service, tmp_path: Path) -> None:
    service.start()
    rows = [
        {"item_id": f"big-{n}", "features": {f"f{m}": "x" * 8_000 for m in range(8)}}
        for n in range(200)
    ]
    file = str(_jsonl(tmp_path / "big.jsonl", rows))
    done = run("indexer", "load", "--json", "--url", service.url, file, data_dir=service.data_dir)
    assert load_report(done)[file]["stored"] == 200


@pytest.mark.parametrize("kind", ["missing", "unknown", "cut", "corrupt", "parquet"])
def test_a_file_that_cannot_be_read_fails_with_one_line_that_names_it(
    data_dir: Path, tmp_path: Path, kind: str
) -> None:
    names = {
        "unknown": "x.docx",
        "cut": "x.jsonl.gz",
        "corrupt": "x.csv.gz",
        "parquet": "x.parquet",
    }
    file = tmp_path / names.get(kind, "x.jsonl")
    zipped = gzip.compress("".join(json.dumps(row) for row in _items()).encode())
    content = {
        "unknown": b"x",
        "cut": zipped[: len(zipped) // 2],
        "corrupt": zipped[:40] + b"\x00\xff" * 40 + zipped[120:],
        "parquet": b"PAR1 not",
    }
    if kind in content:
        file.write_bytes(content[kind])
    done = run("indexer", "load", "--json", str(file), data_dir=data_dir)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(file) in done.stderr.strip().splitlines()[-1]


def test_a_service_that_does_not_answer_fails_with_one_line_that_names_it(
    service: Service, tmp_path: Path
) -> None:
    file = _jsonl(tmp_path / "items.jsonl", _items()[:3])
    done = run("indexer", "load", "--url", service.url, str(file), data_dir=service.data_dir)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert service.url in done.stderr.strip().splitlines()[-1]


def test_a_load_into_a_directory_in_use_is_refused_with_its_owner(
    service: Service, tmp_path: Path
) -> None:
    service.start()
    assert service.process is not None
    file = _jsonl(tmp_path / "items.jsonl", _items()[:3])
    done = run("indexer", "load", str(file), data_dir=service.data_dir)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert str(service.data_dir) in line
    assert str(service.process.pid) in line
