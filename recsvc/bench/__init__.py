"""The benchmark: `recsvc bench`."""

from __future__ import annotations

from recsvc.bench.report import Report

__all__ = ["run_bench"]


def run_bench(*, events: int, users: int, items: int, outage_s: float, quiet: bool) -> Report:
    """Run the benchmark with a service of its own in a temporary folder."""
    from indexer.cli import run_loop
    from recsvc.bench.run import play

    return run_loop(play(events=events, users=users, items=items, outage_s=outage_s, quiet=quiet))
