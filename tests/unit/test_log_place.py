"""Which log it is, is told by where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from indexer.settings import load_settings
from indexer.streams import log_place


def place(tmp_path: Path, **settings: Any) -> str:
    """The place that settings choose."""
    return log_place(load_settings(data_dir=tmp_path, _env_file=None, **settings))


REDIS = {"qdrant_url": "http://127.0.0.1:6333", "event_log_url": "redis://me:canary@one:6379/1"}


def test_shared_logs_differ_by_server_database_and_name_and_tell_no_password(tmp_path: Path):
    others: list[dict[str, Any]] = [
        REDIS,
        {**REDIS, "event_log_url": "redis://two:6379/1"},
        {**REDIS, "event_log_url": "redis://one:6379/2"},
        {**REDIS, "event_log_name": "other"},
        {**REDIS, "event_log_url": "kafka://one:9092,two:9092"},
    ]
    places = [place(tmp_path, **one) for one in others]
    assert len(set(places)) == len(others)
    assert not any("canary" in one for one in places)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://one:6379/1", "redis://me:other@one:6379/1"),
        ("kafka://one:9092,two:9092", "kafka://two:9092,one:9092"),
    ],
)
def test_the_same_log_is_told_the_same(tmp_path: Path, one: str, other: str):
    chosen = {**REDIS, "event_log_url": one}
    assert place(tmp_path, **chosen) == place(tmp_path, **{**chosen, "event_log_url": other})


def test_an_embedded_log_differs_by_folder_only_where_the_store_is_elsewhere(tmp_path: Path):
    elsewhere = {"qdrant_url": "http://127.0.0.1:6333"}
    assert place(tmp_path / "a") == place(tmp_path / "b")
    assert place(tmp_path / "a", **elsewhere) != place(tmp_path / "b", **elsewhere)
