"""Finding what a worker does beside folding, which is of the package that serves lists."""

from __future__ import annotations

from importlib.metadata import entry_points

from indexer.ports import Learner
from indexer.runtime import Job, Runtime

__all__ = ["load_jobs", "load_learner"]


def load_learner(runtime: Runtime) -> Learner | None:
    """Make the installed learner, or none where the settings want none."""
    if not runtime.settings.learn_every:
        return None
    for point in entry_points(group="indexer.learners"):
        learner: Learner = point.load()(runtime)
        return learner
    return None


def load_jobs(runtime: Runtime) -> list[Job]:
    """Make the installed jobs, such as sending webhooks; each runs until cancelled."""
    return [point.load()(runtime) for point in entry_points(group="indexer.jobs")]
