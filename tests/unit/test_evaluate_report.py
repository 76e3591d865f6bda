"""The report, as JSON, as tables and as a picture."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from recsvc.evaluate.chart import draw
from recsvc.evaluate.metrics import Summary
from recsvc.evaluate.report import OURS, Report


def summary(ndcg: float | None, diversity: float | None = 0.6) -> Summary:
    interval = None if ndcg is None else (ndcg * 0.9, ndcg * 1.1)
    return Summary(
        100, ndcg, interval, 0.3, 0.2, 0.15, 0.5, 9.1, diversity, 20, ndcg, interval
    )  # fmt: skip


def report(*splits: str, ours: bool = True) -> Report:
    found = Report("books", 10, 200, 30, dropped=3, machine="a machine")
    for split in splits or ("last",):
        found.add(split, "EASE", summary(0.08), 1.234, "without the 7 rarest items")
        found.add(split, "Popularity", summary(0.02, diversity=None))
        if ours:
            found.add(split, OURS, summary(0.1))
    return found


def printed(one: Report, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    one.print(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_report_is_json_as_it_is():
    fields = json.loads(json.dumps(report().as_dict(), allow_nan=False))
    assert fields["splits"]["last"]["EASE"]["ndcg"] == 0.08
    assert fields["splits"]["last"]["EASE"]["ndcg_ci"] == pytest.approx([0.072, 0.088])
    assert fields["seconds"]["last"]["EASE"] == 1.23
    assert fields["ratios"]["last"] == pytest.approx({"EASE": 1.25, "Popularity": 5.0})
    assert (fields["data"], fields["dropped"]) == ("books", 3)


def test_without_ours_there_are_no_ratios():
    assert report(ours=False).ratios("last") == {}


def test_what_is_worth_nothing_has_no_ratio():
    one = report()
    one.add("last", "none", summary(0.0))
    one.add("last", "unknown", summary(None))
    assert set(one.ratios("last")) == {"EASE", "Popularity"}


def test_what_is_printed_has_all_figures_and_fits_a_terminal():
    text = printed(report("last", "prequential"))
    shown = ("10 items", "200 events", "3 events dropped", "a machine", ".1000", ".090-.110",
             "EASE 1.25", "without the 7 rarest", "prequential")  # fmt: skip
    assert [one for one in shown if one not in text] == []
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_best_value_is_bold():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    report().print(console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\x1b[1m.1000\x1b[0m" in text
    assert "\x1b[1m.0800\x1b[0m" not in text


@pytest.mark.parametrize("name", ["[/red]", ":tea:", "[bold]x"])
def test_names_are_printed_as_they_are(name: str):
    one = Report(name, 1, 1, 1)
    one.add("last", name, summary(0.1), note="a note")
    assert printed(one).count(name) == 3


def test_an_empty_report_can_be_printed():
    assert "0 items" in printed(Report("nothing", 0, 0, 0))


def test_the_chart_is_a_png(tmp_path: Path):
    one = report("last", "time")
    one.add("time", "EASE", summary(None))
    one.add("new", "only here", summary(0.0))
    draw(one, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_there_is_no_chart_of_nothing(tmp_path: Path):
    with pytest.raises(ValueError, match="no results"):
        draw(Report("nothing", 0, 0, 0), tmp_path / "chart.png")
