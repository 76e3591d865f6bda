"""The evaluation asks the real recommender, in process and over HTTP, and finds the same."""

from __future__ import annotations

import io
import json
import random
import socket
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from served import served

from indexer.errors import InvalidInput, StoreUnavailable
from recsvc.evaluate.command import Ablation, evaluate_files
from recsvc.evaluate.datasets import load_dataset
from recsvc.evaluate.replay import in_process, over_http
from recsvc.evaluate.report import OURS
from recsvc.evaluate.run import Plan, evaluate

DIM = 64
GROUPS, PER_GROUP, USERS = 5, 12, 60


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A catalogue whose groups can be told by what people do, and not by the titles."""
    folder = tmp_path_factory.mktemp("dataset")
    draw = random.Random(5)
    items = [f"i{n}" for n in range(GROUPS * PER_GROUP)]
    rows = [{"item_id": i, "features": {"title": f"thing {draw.randrange(10**9)}"}} for i in items]
    events = []
    for n in range(USERS):
        group = n % GROUPS
        order = draw.sample(items[group * PER_GROUP : (group + 1) * PER_GROUP], 9)
        for place, item_id in enumerate(order):
            at = 1_600_000_000 + 86_400 * place + 60 * n
            events.append((at, {"user_id": f"u{n}", "event_type": "purchase", "item_id": item_id}))
    events.sort(key=lambda pair: pair[0])
    _write(folder / "items.jsonl", rows)
    _write(folder / "events.jsonl", [{**event, "timestamp": at} for at, event in events])
    return folder / "items.jsonl", folder / "events.jsonl"


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def _small_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_EMBEDDING_DIM", str(DIM))


def _evaluated(files: tuple[Path, Path], *splits: str, **changed: Any) -> Any:
    given: dict[str, Any] = {
        "splits": list(splits),
        "baselines": False,
        "ask_every": 1,
        "seed": 0,
        "url": None,
        "ablation": Ablation(),
        "chart": None,
    }
    return evaluate_files("", *files, **{**given, **changed})


def test_all_splits_are_reported_and_two_runs_agree(files: tuple[Path, Path]) -> None:
    first, second = _evaluated(files).as_dict(), _evaluated(files).as_dict()
    assert set(first["splits"]) == {"last", "time", "prequential"}
    assert first["splits"] == second["splits"]
    assert first["splits"]["last"][OURS]["ndcg"] > 0.3  # a random list has less than 0.1


def test_what_goes_together_is_what_finds_the_groups(files: tuple[Path, Path]) -> None:
    whole = _evaluated(files, "last").splits["last"][OURS].ndcg
    names = frozenset({"collaborative", "popularity"})
    without = _evaluated(files, "last", ablation=Ablation(names)).splits["last"][OURS].ndcg
    assert whole > 1.5 * without


@pytest.mark.parametrize(
    "ablation",
    [Ablation(frozenset({name})) for name in ("profile", "content", "learning", "decay")]
    + [Ablation(single_vector=True)],
)
def test_each_part_can_be_left_out(files: tuple[Path, Path], ablation: Ablation) -> None:
    assert _evaluated(files, "last", ablation=ablation).splits["last"][OURS].cases == USERS


def test_baselines_are_measured_in_the_same_run_and_drawn(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    chart = tmp_path / "chart.png"
    report = _evaluated(files, "last", baselines=True, chart=chart)
    assert {"Popularity", "Item kNN", "EASE"} <= report.ratios("last").keys()
    assert chart.read_bytes().startswith(b"\x89PNG")
    console = Console(file=io.StringIO(), record=True)
    report.print(console)
    assert OURS in console.export_text()


@pytest.mark.parametrize("split", ["last", "prequential"])
@pytest.mark.anyio
async def test_a_service_gives_the_same_figures_over_its_api(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    dataset, plan = load_dataset(*files), Plan((split,), baselines=False)
    console = Console(quiet=True)
    apart = await evaluate(dataset, "x", plan, lambda: in_process(frozenset({"profile"})), console)
    monkeypatch.setenv("RECSVC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RECSVC_PROFILE_WEIGHT", "0")
    with served("recsvc", "serve", log=tmp_path / "log") as url:
        found = await evaluate(dataset, "x", plan, lambda: over_http(url, None), console)
    ours, theirs = apart.splits[split][OURS].ndcg, found.splits[split][OURS].ndcg
    assert theirs == pytest.approx(ours, rel=0.15)


@pytest.mark.anyio
async def test_a_service_that_does_not_answer_is_named(files: tuple[Path, Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with over_http(f"http://127.0.0.1:{port}", None) as route:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await route.ask("u1", 1.0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "http://127.0.0.1:1"}, "choose one --split"),
        (
            {
                "url": "http://127.0.0.1:1",
                "splits": ["last"],
                "ablation": Ablation(frozenset(["decay"])),
            },
            "settings of that service",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    files: tuple[Path, Path], changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        _evaluated(files, **changed)
