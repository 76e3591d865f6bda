"""How far each partition of events has been told of, by webhook, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from indexer.stores.webhooks import Document, WebhookPoints
from recsvc.webhooks.model import Tally, Webhook, read_tallies

__all__ = ["Place", "Places"]


@dataclass(slots=True)
class Place:
    """One partition, for as long as it is ours (``epoch``).

    ``applied``: the offset that was folded when it was taken over; what is up to there and not told
    of yet, another process has folded. ``unheard``: the offset, by webhook, beyond which events may
    have failed that it was not told of.
    """

    partition: int
    epoch: int
    applied: int = 0
    positions: dict[str, int] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    unheard: dict[str, int] = field(default_factory=dict)
    changes: int = 0
    saved: int = 0

    @property
    def changed(self) -> bool:
        """Whether it is to be written."""
        return self.changes > self.saved

    def tally(self, webhook_id: str) -> Tally:
        """Return the counts of a webhook, to be added to."""
        self.changes += 1
        return self.tallies.setdefault(webhook_id, Tally())

    def move(self, webhook_id: str, offset: int) -> None:
        """Note that a webhook is told, or will be, of all up to there."""
        if offset > self.positions.get(webhook_id, -1):
            self.positions[webhook_id] = offset
            self.changes += 1

    def miss(self, webhook_id: str, offset: int) -> None:
        """Note that events beyond an offset may have failed without a webhook being told."""
        if offset < self.unheard.get(webhook_id, offset + 1):
            self.unheard[webhook_id] = offset
            self.changes += 1

    def hear(self, webhook_id: str, offset: int | None = None) -> None:
        """Note that a webhook will be told of what failed up to an offset; None: of everything."""
        if offset is None:
            self.unheard.pop(webhook_id, None)
        else:
            self.unheard[webhook_id] = offset
        self.changes += 1


class Places:
    """Reads and writes places. ``log``: which log the offsets are of; those of others are void."""

    def __init__(self, points: WebhookPoints, log: str) -> None:
        self._points, self._log = points, log

    async def take(self, partition: int, epoch: int) -> Place:
        """Read the place of a partition that is ours from now on."""
        place = Place(partition, epoch)
        for document in await self._points.get("place", [str(partition)]):
            place.tallies = read_tallies(document)
            if document.body["log"] == self._log:
                place.positions = dict(document.body["positions"])
                place.unheard = dict(document.body.get("unheard", {}))
        return place

    async def save(self, place: Place, webhooks: Mapping[str, Webhook]) -> None:
        """Write a place where it has changed; webhooks that are gone are forgotten."""
        if not place.changed:
            return
        changes = place.changes
        place.positions = {k: v for k, v in place.positions.items() if k in webhooks}
        place.tallies = {k: v for k, v in place.tallies.items() if k in webhooks}
        place.unheard = {k: v for k, v in place.unheard.items() if k in webhooks}
        body: dict[str, Any] = {
            "log": self._log,
            "positions": place.positions,
            "unheard": place.unheard,
            "tallies": {name: asdict(one) for name, one in place.tallies.items()},
        }
        await self._points.put([Document("place", str(place.partition), body)])
        place.saved = changes

    async def tallies(self) -> dict[str, Tally]:
        """Return what came of each webhook's deliveries, as far as all have told."""
        totals: dict[str, Tally] = {}
        for document in await self._points.find("place"):
            for name, one in read_tallies(document).items():
                totals.setdefault(name, Tally()).add(one)
        return totals

    def start(self, webhook: Webhook, place: Place) -> int:
        """Return the offset of a partition before which a webhook is told of nothing."""
        if webhook.log != self._log:
            return place.applied
        return webhook.start.get(place.partition, 0)

    def position(self, webhook: Webhook, place: Place) -> int:
        """Return the offset beyond which a webhook is to be told of a partition's events."""
        return max(self.start(webhook, place), place.positions.get(webhook.webhook_id, 0))
