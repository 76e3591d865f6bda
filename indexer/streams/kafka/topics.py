"""The topics of a log: made where they are missing, checked where they are there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.admin import NewTopic
from aiokafka.errors import for_code

from indexer.errors import LogError, SchemaMismatch
from indexer.ports import CHANNELS, Channel
from indexer.streams.codec import BODY_MAX
from indexer.streams.kafka.client import asking

__all__ = ["Topics", "make_topics"]

_DAY_MS: Final = 86_400_000
_MADE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.1
_EXISTS: Final = 36


class Topics:
    """What the topics of a log are called."""

    def __init__(self, name: str) -> None:
        self._of: dict[Channel, str] = {channel: f"{name}.{channel}" for channel in CHANNELS}
        self._channels = {topic: channel for channel, topic in self._of.items()}
        self.letters = f"{name}.dead-letters"
        self.followed = list(self._channels)

    def of(self, channel: Channel) -> str:
        """Return the topic of a channel."""
        return self._of[channel]

    def channel(self, topic: str) -> Channel:
        """Undo `of`."""
        return self._channels[topic]


async def make_topics(
    admin: Any, topics: Topics, *, partitions: int, keep_s: float, replication: int
) -> None:
    """Make what is missing; see that each topic has the partitions it must have.

    Raises:
        SchemaMismatch: a topic was made with another number of partitions.
        LogError: a topic is missing and cannot be made.
    """
    settings = _settings(topics, int(keep_s * 1000), replication)
    wanted = {topic: 1 if topic == topics.letters else partitions for topic in settings}
    async with asking("making topics", _MADE_S):
        there = set(await admin.list_topics())
        missing = [
            NewTopic(topic, count, replication, topic_configs=dict(settings[topic]))
            for topic, count in wanted.items()
            if topic not in there
        ]
        if missing:
            for topic, code, *message in (await admin.create_topics(missing)).topic_errors:
                if code not in (0, _EXISTS):
                    why = next(filter(None, message), for_code(code).__name__)
                    raise LogError(f"topic {topic!r} cannot be made: {why}")
        found = await _partitions_of(admin, list(wanted))
    for topic, count in wanted.items():
        if found[topic] != count:
            raise SchemaMismatch(_mismatch(topic, found[topic], count, topics))


async def _partitions_of(admin: Any, topics: list[str]) -> dict[str, int]:
    """Return how many partitions each topic has, once all have a leader."""
    while True:
        described = await admin.describe_topics(topics)
        if all(topic["partitions"] and _led(topic["partitions"]) for topic in described):
            return {topic["topic"]: len(topic["partitions"]) for topic in described}
        await asyncio.sleep(_LOOK_EVERY_S)


def _led(partitions: list[Mapping[str, Any]]) -> bool:
    return all(partition["leader"] >= 0 for partition in partitions)


def _mismatch(topic: str, found: int, count: int, topics: Topics) -> str:
    if topic == topics.letters:
        return f"topic {topic!r} has {found} partitions and must have 1; delete it"
    return (
        f"topic {topic!r} has {found} partitions, not {count}: set "
        f"RECSVC_EVENT_LOG_PARTITIONS={found}, or choose another RECSVC_EVENT_LOG_NAME"
    )


def _settings(topics: Topics, keep_ms: int, replication: int) -> dict[str, dict[str, str]]:
    """Return the settings of each topic.

    The time of a record is the broker's: retention goes by it, whatever clocks producers have.
    """
    common = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(2 * BODY_MAX),
        "min.insync.replicas": str(max(1, replication - 1)),
    }
    events = {"cleanup.policy": "delete", "retention.ms": str(keep_ms)}
    letters = {"cleanup.policy": "compact,delete", "retention.ms": str(keep_ms)}
    return {
        topics.of("events"): {**common, **events},
        topics.of("items"): {**common, "cleanup.policy": "compact"},
        topics.of("pairs"): {**common, **events, "retention.ms": str(_DAY_MS)},
        topics.letters: {**common, **letters},
    }
