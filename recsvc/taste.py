"""What a list is made for: the things a user or a visitor has shown to like, ready to ask with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from indexer.domain.interests import Interest
from indexer.domain.trail import Step
from indexer.domain.vectors import Vector
from recsvc.blend import Part

__all__ = ["Direction", "Taste"]


@dataclass(frozen=True, slots=True)
class Direction:
    """One vector to look along, for a component of the ranking.

    ``share``: of the component, 0 to 1. ``key``: what the vector is made of; equal keys have
    equal vectors. ``parts``: its summands, where they are at hand; else ``interest`` is it.
    """

    component: str
    vector: Vector
    share: float
    key: object
    parts: tuple[Part, ...] = ()
    interest: Interest | None = None


@dataclass(frozen=True, slots=True)
class Taste:
    """All that candidates are gathered by.

    ``steps``: items taken up, newest first, each once. ``disliked``: vectors of what is disliked,
    by ref. ``overall``: all of it in one vector. ``at``: unix seconds that the list is made for.
    ``situation``: see `recsvc.ranking`.
    """

    tenant: str
    steps: Sequence[Step] = ()
    directions: Sequence[Direction] = ()
    disliked: Mapping[str, Vector] = field(default_factory=dict)
    overall: Vector | None = None
    at: float = 0.0
    situation: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to go by."""
        return not self.steps and not self.directions

    @property
    def interests(self) -> list[Direction]:
        """The directions that are interests, the largest share first."""
        return [one for one in self.directions if one.interest is not None]
