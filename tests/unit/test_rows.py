"""Rows of files."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from indexer.errors import InvalidInput
from indexer.rows import Row, kind_of, read_rows, size_of


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Return a function that writes a file and reads its rows."""

    def write(name: str, content: str | bytes) -> list[Row]:
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return list(read_rows(str(path)))

    return write


def fields_of(rows: list[Row]) -> list[Any]:
    return [row.fields for row in rows]


# JSON lines


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "A.JSONL", "a.b.jsonl.gz"])
def test_each_line_is_a_row(written: Any, name: str):
    rows = written(name, '{"item_id":"a","features":{}}\n{"item_id":"b","features":{}}')
    assert fields_of(rows) == [
        {"item_id": "a", "features": {}},
        {"item_id": "b", "features": {}},
    ]


def test_a_bad_line_is_a_row_with_a_reason_and_the_others_go_on(written: Any):
    rows = written("a.jsonl", b'{"a":1}\n{oops\n\n[1]\n{"b":NaN}\n"\xff"\n{"c":2}\r\n')
    assert [row.number for row in rows] == [1, 2, 4, 5, 6, 7]
    assert fields_of(rows) == [{"a": 1}, None, None, None, None, {"c": 2}]
    reasons = [row.reason or "" for row in rows]
    assert reasons[1].startswith("not JSON: ")
    assert reasons[2] == "not a JSON object"
    assert [rows[1].raw, rows[5].raw] == ["{oops", '{"c":2}']


def test_a_byte_order_mark_is_no_part_of_the_first_line(written: Any):
    assert fields_of(written("a.jsonl", b'\xef\xbb\xbf{"a":1}\n')) == [{"a": 1}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.jsonl.gz"])
def test_an_empty_file_has_no_rows(written: Any, name: str):
    assert written(name, "") == []


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=9))))
def test_whatever_json_can_carry_is_read_as_it_was(records: list[dict[str, Any]]):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(b"\n".join(map(orjson.dumps, records)))
        assert fields_of(list(read_rows(str(path)))) == records


def test_standard_input_is_json_lines(monkeypatch: pytest.MonkeyPatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(b'{"a":1}\n{"b":2}\n'))
    monkeypatch.setattr("sys.stdin", stdin)
    assert fields_of(list(read_rows("-"))) == [{"a": 1}, {"b": 2}]
    assert size_of("-") is None


def test_the_bytes_read_run_up_to_the_size_of_the_file(tmp_path: Path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n' * 5_000))
    read = [row.read for row in read_rows(str(path))]
    assert read == sorted(read)
    assert read[-1] == size_of(str(path))


# CSV


def test_columns_become_fields_and_features(written: Any):
    rows = written("a.csv", "item_id,title,price,tags\np1,Blue kettle,24.50,steel|gift\n")
    assert fields_of(rows) == [
        {
            "item_id": "p1",
            "features": {"title": "Blue kettle", "price": 24.5, "tags": ["steel", "gift"]},
        }
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.tsv.gz"])
def test_the_ending_tells_the_separator(written: Any, name: str):
    separator = "\t" if "tsv" in name else ","
    content = separator.join(["item_id", "title"]) + "\n" + separator.join(["p1", "Kettle"])
    assert fields_of(written(name, content)) == [{"item_id": "p1", "features": {"title": "Kettle"}}]


def test_events_keep_unknown_columns_as_metadata(written: Any):
    rows = written("a.csv", "user_id,event_type,item_id,timestamp,shop\n7,click,42,1700000000,x\n")
    assert fields_of(rows) == [
        {
            "user_id": "7",
            "event_type": "click",
            "item_id": "42",
            "timestamp": 1_700_000_000,
            "metadata": {"shop": "x"},
        }
    ]


def cell(written: Any, text: str) -> Any:
    quoted = '"' + text.replace('"', '""') + '"'
    (row,) = written("a.csv", f"item_id,x\np1,{quoted}\n")
    return row.fields["features"].get("x")


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("-5", -5), ("0", 0), ("24.50", 24.5), ("0.5", 0.5), ("-0.25", -0.25)],
)
def test_a_number_is_read_as_one(written: Any, text: str, value: float):
    assert cell(written, text) == value
    assert type(cell(written, text)) is type(value)


@pytest.mark.parametrize("text", ["007", "-007", "00", "+491511234567", "1_000"])
def test_a_code_of_digits_stays_a_string(written: Any, text: str):
    assert cell(written, text) == text


@pytest.mark.parametrize("text", ["1e999", "12345678901234567890", "9" * 5_000])
def test_a_number_beyond_what_json_can_carry_stays_a_string(written: Any, text: str):
    assert cell(written, text) == text


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "Infinity", "true", "0x10", "1,5", "12 kg"])
def test_a_word_stays_a_string(written: Any, text: str):
    assert cell(written, text) == text


@pytest.mark.parametrize(
    ("text", "values"),
    [("a|b", ["a", "b"]), (" a | b ", ["a", "b"]), ("a|", ["a"]), ("1|2", ["1", "2"]), ("|", [])],
)
def test_a_list_is_separated_by_bars(written: Any, text: str, values: list[str]):
    assert cell(written, text) == values


def test_an_empty_cell_is_no_feature(written: Any):
    assert cell(written, "") is None


@pytest.mark.parametrize("item_id", ["42", "007", "1.10", "1_000", "1e5", "1E999", "0.50", "-7"])
def test_an_id_is_kept_as_it_is_written(written: Any, item_id: str):
    (item,) = fields_of(written("a.csv", f"item_id,title\n{item_id},Kettle\n"))
    (event,) = fields_of(
        written(
            "b.csv", f"event_id,user_id,event_type,item_id\n{item_id},{item_id},click,{item_id}\n"
        )
    )
    assert item["item_id"] == item_id
    assert (event["event_id"], event["user_id"], event["item_id"]) == (item_id,) * 3


def test_the_event_that_a_retraction_names_is_kept_as_it_is_written(written: Any):
    (event,) = fields_of(written("a.csv", "user_id,event_type,retracts\nu1,retract,123\n"))
    assert event["retracts"] == "123"


@pytest.mark.parametrize("text", ["1984", "war|peace", "1e5"])
def test_texts_are_kept_as_they_are_written(written: Any, text: str):
    (event,) = fields_of(written("a.csv", f"user_id,event_type,query\nu1,search,{text}\n"))
    (item,) = fields_of(written("b.csv", f"item_id,text\np1,{text}\n"))
    assert event["query"] == text
    assert item["text"] == text


def test_features_may_be_given_as_json(written: Any):
    rows = written("a.csv", 'item_id,features,price\np1,"{""a"": ""x|y"", ""b"": 1}",5\n')
    assert fields_of(rows) == [
        {"item_id": "p1", "features": {"a": "x|y", "b": 1, "price": 5}},
    ]


def test_features_that_are_no_json_spoil_their_row_only(written: Any):
    rows = written("a.csv", "item_id,features\np1,{oops\np2,\np3,5\n")
    assert len(rows) == 3
    assert rows[1].fields == {"item_id": "p2", "features": {}}


@pytest.mark.parametrize("line", ["p2", "p2,b,c", ""])
def test_a_row_of_the_wrong_length_is_a_row_with_a_reason(written: Any, line: str):
    rows = written("a.csv", f"item_id,title\np1,a\n{line}\np3,c\n")
    good = [row.fields["item_id"] for row in rows if row.fields is not None]
    assert good == ["p1", "p3"]
    bad = [row.reason for row in rows if row.fields is None]
    assert bad == (["2 columns are expected"] if line else [])


def test_quotes_line_ends_and_a_byte_order_mark_are_read_as_a_spreadsheet_writes_them(
    written: Any,
):
    rows = written("a.csv", b'\xef\xbb\xbfitem_id,title\r\np1,"Kettle, ""blue""\nand large"\r\n')
    assert fields_of(rows) == [
        {"item_id": "p1", "features": {"title": 'Kettle, "blue"\nand large'}}
    ]


def test_a_quote_that_never_ends_is_a_row_with_the_reason(written: Any):
    [row] = written("a.csv", 'item_id,title\np1,"' + "x" * 200_000)
    assert row.fields is None
    assert "unexpected end" in row.reason


def test_a_stray_quote_refuses_its_row_only(written: Any):
    bad, good = written("a.csv", 'item_id,title\np1,"blue"kettle\np2,pot\n')
    assert "not CSV" in bad.reason
    assert good.fields == {"item_id": "p2", "features": {"title": "pot"}}


# Parquet


def table(tmp_path: Path, **columns: Any) -> list[Row]:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table(columns), path)
    return list(read_rows(str(path)))


def test_parquet_columns_become_fields_and_features(tmp_path: Path):
    rows = table(
        tmp_path,
        item_id=[1, 2],
        title=["Kettle", None],
        tags=[["steel"], []],
        price=[24.5, 3.0],
        new=[True, False],
    )
    assert fields_of(rows) == [
        {
            "item_id": "1",
            "features": {"title": "Kettle", "tags": ["steel"], "price": 24.5, "new": True},
        },
        {"item_id": "2", "features": {"tags": [], "price": 3.0, "new": False}},
    ]
    assert [row.number for row in rows] == [1, 2]
    assert rows[-1].read == size_of(str(tmp_path / "a.parquet"))


def test_parquet_times_are_iso_8601(tmp_path: Path):
    (row,) = table(
        tmp_path,
        user_id=["u1"],
        event_type=["click"],
        item_id=["p1"],
        timestamp=[datetime(2024, 1, 1, tzinfo=UTC)],
    )
    assert row.fields["timestamp"] == "2024-01-01T00:00:00+00:00"


def test_parquet_features_may_be_a_struct(tmp_path: Path):
    (row,) = table(tmp_path, item_id=["p1"], features=[{"a": 1, "b": "x"}])
    assert row.fields == {"item_id": "p1", "features": {"a": 1, "b": "x"}}


def test_a_code_of_digits_in_parquet_stays_a_string(tmp_path: Path):
    (row,) = table(tmp_path, item_id=["007"], code=["042"])
    assert row.fields == {"item_id": "007", "features": {"code": "042"}}


# Files that cannot be read


@pytest.mark.parametrize("name", ["a.txt", "a", "a.xlsx", "a.gz", "a.txt.gz"])
def test_an_unknown_ending_is_refused_with_those_that_are_known(written: Any, name: str):
    with pytest.raises(InvalidInput, match=r"\.jsonl, \.csv, \.tsv .* and \.parquet are accepted"):
        written(name, "x")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.jsonl.gz", "a.parquet"])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str):
    with pytest.raises(InvalidInput, match=f"{name}: "):
        list(read_rows(str(tmp_path / name)))


def test_a_folder_is_refused(tmp_path: Path):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(InvalidInput, match=r"a\.jsonl: Is a directory"):
        list(read_rows(str(tmp_path / "a.jsonl")))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:40] + bytes(255 - byte for byte in data[40:60]) + data[60:],
        lambda data: b"plain text",
    ],
    ids=["cut", "changed", "not zipped"],
)
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, damage: Any):
    path = tmp_path / "a.jsonl.gz"
    lines = "\n".join(f'{{"number": {n * n * 7919}}}' for n in range(500))
    path.write_bytes(damage(gzip.compress(lines.encode(), mtime=0)))
    with pytest.raises(InvalidInput, match=r"a\.jsonl\.gz: "):
        list(read_rows(str(path)))


def test_a_damaged_parquet_file_is_refused(written: Any):
    with pytest.raises(InvalidInput, match=r"a\.parquet: "):
        written("a.parquet", "not parquet at all")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"item_id": "p1", "features": {}}, "items"),
        ({"title": "Kettle"}, "items"),
        ({"user_id": "u1"}, "events"),
        ({"event_type": "click", "item_id": "p1"}, "events"),
    ],
)
def test_events_are_told_from_items_by_their_fields(fields: dict[str, Any], kind: str):
    assert kind_of(fields) == kind
