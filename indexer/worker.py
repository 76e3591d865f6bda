"""Follows the event log and keeps the store up to date with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from indexer.apply import Applier
from indexer.domain.events import item_ref, ref_text, text_ref
from indexer.domain.position import position_of
from indexer.embedding import Embeddings
from indexer.errors import ProviderError, ProviderUnavailable, unforeseen
from indexer.keep_up import KeepUp
from indexer.ports import Applied, Changes, EventRecord, Feed
from indexer.stores.users import UserStates
from indexer.telemetry import Telemetry

__all__ = ["Worker"]

_log = logging.getLogger(__name__)

_RETRY_MIN_S, _RETRY_MAX_S = 0.1, 5.0
_TEXTS_RETRY_MAX_S = 1.0  # what is then asked of a provider that is away, its breaker decides
_SWEEP_S = 15.0
_REFS_AT_ONCE = 100


class Worker:
    """Folds events as they come, and again what waited once its vector is known.

    A failure that may pass is tried again and nothing is skipped; what can never be folded goes
    to the dead letters. ``commit``: whether what is written survives as soon as it is.
    """

    def __init__(
        self,
        feed: Feed,
        applier: Applier,
        states: UserStates,
        embeddings: Embeddings,
        changes: Changes,
        telemetry: Telemetry,
        turn: asyncio.Lock,
        *,
        batch_max: int,
        flush_interval_s: float,
        commit: bool,
    ) -> None:
        self._feed, self._applier, self._states = feed, applier, states
        self._embeddings, self._changes, self._telemetry = embeddings, changes, telemetry
        self._batch_max, self._flush_interval_s = batch_max, flush_interval_s
        self._commit = commit
        self._known: dict[tuple[str, str], None] = {}
        self._texts: dict[tuple[str, str], None] = {}
        self._texts_wake = asyncio.Event()
        self.turn = turn  # held while user states change
        self._keep_up = KeepUp(
            feed,
            "events",
            self.catch_up,
            telemetry,
            name="worker",
            least_s=_RETRY_MIN_S,
            most_s=_RETRY_MAX_S,
        )

    def items_ready(self, tenant: str, item_ids: Sequence[str]) -> None:
        """Have events folded that waited for these items."""
        self._refs_ready(tenant, [item_ref(item_id) for item_id in item_ids])

    async def depth(self) -> int:
        """Count the logged events of our partitions that are not folded yet."""
        return await self._feed.lag("events")

    async def run(self) -> None:
        """Fold until cancelled."""
        await self._keep_up.run()

    async def catch_up(self) -> None:
        """Fold all that is logged."""
        while True:
            await self._resolve_known()
            async with self.turn:
                records = await self._batch()
                for tenant, text in await self._applier.apply(records) if records else ():
                    self._want_text(tenant, text)
                position = position_of((record.partition, record.offset) for record in records)
                self._feed.applied("events", position)
            await self._changes.publish([Applied("events", self._feed.positions("events"))])
            if not records:
                break
            if self._commit:
                await self._feed.commit()
            left = await self.depth()
            self._telemetry.lag.set(left)
            _log.debug("folded %d events; %d left", len(records), left)
        await self._applier.write_counts()  # now that nobody waits

    async def run_texts(self) -> None:
        """Embed the texts of searches until cancelled."""
        pause_s = _RETRY_MIN_S
        while True:
            await self._texts_wake.wait()
            if not self._texts:
                self._texts_wake.clear()
                continue
            tenant = next(iter(self._texts))[0]
            texts = [text for t, text in self._texts if t == tenant][:_REFS_AT_ONCE]
            if await self._embed_texts(tenant, texts):
                pause_s = _RETRY_MIN_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _TEXTS_RETRY_MAX_S)

    async def run_sweeps(self) -> None:
        """Look after all that waits, now and then: it makes up for whatever was missed."""
        while True:
            try:
                await self._sweep()
            except Exception as exc:  # noqa: BLE001 - counted, and tried again
                self._telemetry.count("failures", "sweep")
                _log.warning("sweep failed: %s", exc, exc_info=unforeseen(exc))
            await asyncio.sleep(_SWEEP_S)

    async def _embed_texts(self, tenant: str, texts: Sequence[str]) -> bool:
        """Embed search texts; False where some are to be tried again."""
        try:
            results = await self._embeddings.each(texts)
        except Exception as exc:  # noqa: BLE001 - counted, and tried again
            self._telemetry.count("failures", "texts")
            _log.warning("search texts wait: %s", exc, exc_info=unforeseen(exc))
            return False
        failed = {text: exc for text, exc in results.items() if isinstance(exc, ProviderError)}
        away = [text for text, exc in failed.items() if isinstance(exc, ProviderUnavailable)]
        if refused := len(failed) - len(away):
            self._telemetry.count("failures", "refused_texts", n=refused)
        if away:
            self._telemetry.count("failures", "texts")
            _log.debug("%d search texts wait: %s", len(away), failed[away[0]])
        for text in results.keys() - set(away):
            self._texts.pop((tenant, text), None)
        self._refs_ready(tenant, [text_ref(text) for text in results if text not in failed])
        return not away

    async def _batch(self) -> list[EventRecord]:
        """Read the next micro-batch; give one that is not full the time to fill."""
        records: list[EventRecord] = await self._feed.read("events", self._batch_max)
        if records and self._flush_interval_s and len(records) < self._batch_max:
            await asyncio.sleep(self._flush_interval_s)
            records = await self._feed.read("events", self._batch_max)
        return records

    async def _resolve_known(self) -> None:
        while self._known:
            tenant = next(iter(self._known))[0]
            refs = [ref for t, ref in self._known if t == tenant][:_REFS_AT_ONCE]
            async with self.turn:
                await self._applier.resolve(tenant, refs)
            for ref in refs:
                self._known.pop((tenant, ref), None)

    def _want_text(self, tenant: str, text: str) -> None:
        self._texts[tenant, text] = None
        self._texts_wake.set()

    def _refs_ready(self, tenant: str, refs: Sequence[str]) -> None:
        self._known.update(((tenant, ref), None) for ref in refs)
        self._keep_up.wake()

    async def _sweep(self) -> None:
        for (tenant, _), refs in await self._states.waiting():
            for ref in refs:
                if (text := ref_text(ref)) is not None:
                    self._want_text(tenant, text)
            known = await self._applier.known(tenant, refs)
            if known:
                self._refs_ready(tenant, known)
