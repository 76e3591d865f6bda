"""Users whose profile a model makes, and what tests ask about them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from chat_provider import PROFILE_MODEL, ChatProvider
from shop import Shop, event, fresh, until

from indexer.domain.profile import Profile

Opener = Callable[..., AbstractAsyncContextManager[Shop]]


async def known(shop: Shop, user: str | None = None, tenant: str = "default") -> str:
    """A user whom the model was asked about before, long ago; so the next event is enough."""
    user = user or fresh()
    old = Profile({"category=kitchen": 1.0}, "old", PROFILE_MODEL, 0, 0.0)
    await shop.runtime.profiles.put(tenant, user, old)
    return user


async def asked(shop: Shop, user: str, *, after: float = 0.0) -> dict[str, Any]:
    """Wait for a profile by the model that is newer than ``after``."""

    async def found() -> Any:
        profile = (await shop.user(user))["profile"]
        by_model = profile is not None and profile["model"] == PROFILE_MODEL
        return profile if by_model and profile["updated_at"] > after else None

    profile: dict[str, Any] = await until(found)
    return profile


async def looked_at(shop: Shop, user: str, item_id: str = "garden-01", n: int = 1) -> None:
    """Have a user view an item."""
    await shop.send(*(event(user, item_id, "view") for _ in range(n)))


async def outcomes(shop: Shop) -> dict[str, int]:
    """How profiles came out so far, as the metrics count them."""
    counted = shop.runtime.telemetry.by_labels("profiles")
    return {name: int(n) for (name,), n in counted.items()}


async def counted(shop: Shop, outcome: str, least: int = 1) -> None:
    """Wait until profiles came out so."""

    async def enough() -> bool:
        return (await outcomes(shop)).get(outcome, 0) >= least

    await until(enough)


async def asked_times(provider: ChatProvider, least: int) -> None:
    """Wait until the provider got that many chats."""

    async def enough() -> bool:
        return len(provider.chats) >= least

    await until(enough)
