"""What is made of records that were fetched: those to apply, and those to be dealt with at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from indexer.domain.position import partition_of
from indexer.errors import InvalidInput, LogError
from indexer.ports import Changes, Channel, Record
from indexer.streams.kafka.log import KafkaLog
from indexer.streams.kafka.records import event_of, fingerprint_of, item_of, offset_of, pair_of
from indexer.streams.refused import failure_of

__all__ = ["Intake"]

_log = logging.getLogger(__name__)


class Intake:
    """Sorts out what others have appended.

    ``weights``: of the event types that they may send. ``changes``: told of what is no event, where
    it says whose it is.
    """

    def __init__(
        self, log: KafkaLog, weights: Mapping[str, float], changes: Changes | None = None
    ) -> None:
        self._log, self._weights, self._changes = log, weights, changes

    def record_of(self, channel: Channel, raw: Any) -> Record | None:
        """Return what is to be applied, or None where `deal_with` has to be called first."""
        try:
            if channel == "items":
                return item_of(raw)
            if channel == "pairs":
                return pair_of(raw)
            record = event_of(raw, self._weights)
        except Exception:  # noqa: BLE001 - whatever it is, the partition must go on
            return None
        if fingerprint_of(raw) is not None:
            return record
        event = record.event
        right = partition_of(event.tenant, event.user_id, self._log.partitions)
        return record if raw.partition == right else None

    async def deal_with(self, channel: Channel, raw: Any) -> None:
        """Do what is needed before a record can be passed over.

        An event in a wrong partition is appended to the right one; what is no event goes to the
        dead letters. Doing it twice changes nothing more.

        Raises:
            LogError: it cannot be done now.
        """
        if channel != "events":
            if raw.value is not None:  # else it tells compaction to forget a key
                place = (channel, raw.partition, offset_of(raw))
                _log.error("%s: the record at %d:%d is none, and is left out", *place)
            return
        try:
            await self._log.append_checked(event_of(raw, self._weights).event)
        except LogError:
            raise
        except Exception as exc:  # noqa: BLE001 - kept with the event
            told = str(exc) if isinstance(exc, InvalidInput) else f"{type(exc).__name__}: {exc}"
            failed = failure_of(await self._log.letters.refuse(raw, told), told)
            if failed is not None and self._changes is not None:
                await self._changes.publish([failed])
