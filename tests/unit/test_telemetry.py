"""Timings."""

from __future__ import annotations

import time

import pytest

from indexer.telemetry import Telemetry


def test_percentiles_are_of_the_newest_ten_thousand():
    telemetry = Telemetry()
    for _ in range(5_000):
        telemetry.observe("fold", 9.0)
    for n in range(10_000):
        telemetry.observe("fold", n / 1e4)
    fold = telemetry.percentiles()["fold"]
    assert fold["count"] == 10_000
    assert fold["p50"] == pytest.approx(500, abs=1)
    assert fold["p99"] == pytest.approx(990, abs=1)


def test_percentiles_can_be_of_what_was_taken_lately():
    telemetry = Telemetry()
    telemetry.observe("fold", 9.0)
    time.sleep(1.0)
    telemetry.observe("fold", 0.1)
    lately = telemetry.percentiles(past_s=0.9)
    assert lately == {"fold": {"count": 1, "p50": 100.0, "p95": 100.0, "p99": 100.0}}
    assert telemetry.percentiles(0.0) == {}


def test_a_distribution_counts_each_duration_once_between_its_edges():
    telemetry = Telemetry()
    for seconds in (0.0001, 0.0015, 0.0016, 9.0):
        telemetry.observe("fold", seconds)
    shown = telemetry.distributions()
    assert shown.keys() == {"fold"}
    counts = dict(zip([*shown["fold"]["edges_ms"], None], shown["fold"]["counts"], strict=True))
    assert {edge: n for edge, n in counts.items() if n} == {0.5: 1, 2.0: 2, None: 1}
