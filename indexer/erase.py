"""Erasing what is held of a user beside the log: state, profile, deliveries, the name on costs."""

from __future__ import annotations

from indexer.ports import Changes, UserChange
from indexer.profiling.refresh import ProfileRefresher
from indexer.provider.ledger import Ledger
from indexer.stores.profiles import Profiles
from indexer.stores.users import UserStates
from indexer.stores.webhooks import WebhookPoints

__all__ = ["Eraser"]


class Eraser:
    """Erases users whose events are folded here; nothing of them may be under way meanwhile."""

    def __init__(
        self,
        states: UserStates,
        profiles: Profiles,
        webhooks: WebhookPoints,
        refresher: ProfileRefresher,
        ledger: Ledger,
        changes: Changes,
    ) -> None:
        self._states, self._profiles, self._webhooks = states, profiles, webhooks
        self._refresher = refresher
        self._ledger, self._changes = ledger, changes

    async def erase(self, tenant: str, user_id: str) -> None:
        """Erase a user; doing it twice changes nothing more."""
        await self._states.delete(tenant, user_id)
        self._refresher.drop((tenant, user_id))  # what began before would bring it back
        await self._profiles.delete(tenant, user_id)
        await self._ledger.forget_user(tenant, user_id)
        await self._webhooks.erase_user(tenant, user_id)
        await self._changes.publish([UserChange(tenant, user_id, 0)])
