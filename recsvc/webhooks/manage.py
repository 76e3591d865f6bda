"""What a tenant can do with its webhooks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from indexer.errors import FieldError, InvalidInput, NotFound
from indexer.ports import EventLog
from indexer.stores.webhooks import WebhookPoints
from recsvc.webhooks.client import WebhookClient
from recsvc.webhooks.connect import AddressRefused, Resolver
from recsvc.webhooks.messages import test_message
from recsvc.webhooks.model import Delivery, Secret, Tally, Webhook, read_delivery
from recsvc.webhooks.places import Places
from recsvc.webhooks.registry import Registry
from recsvc.webhooks.schemas import WebhookIn, WebhookPatch
from recsvc.webhooks.sender import DEAD_MAX
from recsvc.webhooks.signing import new_secret
from recsvc.webhooks.turns import TenantTurns

__all__ = ["OVERLAP_S", "WEBHOOKS_MAX", "Webhooks"]

WEBHOOKS_MAX: Final = 20
"""Webhooks of one tenant."""

OVERLAP_S: Final = 24 * 3600.0
"""How long a secret goes on signing beside the one that took its place, in seconds."""

_SECRETS_MAX: Final = 3
_LISTED_MAX: Final = 1_000
_REPLAYED_AT_ONCE: Final = 100


class Webhooks:
    """Makes, changes and shows webhooks; answers are dicts ready to be JSON.

    ``log_name``: which log offsets are of. ``look``: has whoever sends look for changes.
    """

    def __init__(
        self,
        log: EventLog,
        log_name: str,
        points: WebhookPoints,
        registry: Registry,
        places: Places,
        resolver: Resolver,
        client: WebhookClient,
        look: Callable[[], None],
    ) -> None:
        self._log, self._log_name, self._points = log, log_name, points
        self._registry, self._places = registry, places
        self._resolver, self._client, self._look = resolver, client, look
        self._turns = TenantTurns()

    async def create(self, tenant: str, sent: WebhookIn) -> dict[str, Any]:
        """Make a webhook that is told of events from now on.

        Raises:
            InvalidInput: the URL may not be sent to, or there are as many as a tenant can have.
            Overloaded: too many are being made, changed or tested already.
        """
        with self._turns.asking(tenant):
            await self._check(sent.url)
            now, start = time.time(), dict(await self._log.ends("events"))
            webhook = Webhook(
                webhook_id=f"wh_{secrets.token_hex(12)}",
                tenant=tenant,
                url=sent.url,
                types=tuple(sent.types),
                users=frozenset(sent.users) if sent.users is not None else None,
                limit=sent.limit,
                secrets=(Secret(sent.secret or new_secret()),),
                created_at=now,
                started_at=now,
                log=self._log_name,
                start=start,
            )
            async with self._turns.lock(tenant):
                if len(await self._registry.listed(tenant)) >= WEBHOOKS_MAX:
                    raise InvalidInput(
                        f"there are {WEBHOOKS_MAX} webhooks, which is all a tenant can have"
                    )
                await self._registry.put(webhook)
        self._look()
        return {**_shown(webhook), "secret": webhook.secrets[0].value}

    async def listed(self, tenant: str) -> dict[str, Any]:
        """Show all webhooks of a tenant."""
        tallies = await self._places.tallies()
        found = await self._registry.listed(tenant)
        return {"webhooks": [await self._with_state(one, tallies) for one in found]}

    async def get(self, tenant: str, webhook_id: str) -> dict[str, Any]:
        """Show a webhook.

        Raises:
            NotFound: the tenant has none of that id; so do the others.
        """
        webhook = await self._of(tenant, webhook_id)
        return await self._with_state(webhook, await self._places.tallies())

    async def change(self, tenant: str, webhook_id: str, sent: WebhookPatch) -> dict[str, Any]:
        """Change a webhook; a new secret is in the answer.

        Raises:
            InvalidInput: the URL may not be sent to.
            Overloaded: too many are being made, changed or tested already.
        """
        with self._turns.asking(tenant):
            await self._of(tenant, webhook_id)
            if sent.url is not None:
                await self._check(sent.url)
            ends = dict(await self._log.ends("events")) if sent.enabled else {}
            async with self._turns.lock(tenant):  # nothing that takes long is done under it
                webhook = await self._of(tenant, webhook_id)
                changed = _changed(webhook, sent)
                if changed.enabled and not webhook.enabled:  # what happened meanwhile is not told
                    changed = self._begun(changed, ends)
                await self._registry.put(changed)
        self._look()
        shown = await self._with_state(changed, await self._places.tallies())
        if changed.secrets != webhook.secrets:
            shown["secret"] = changed.secrets[0].value
        return shown

    async def delete(self, tenant: str, webhook_id: str) -> None:
        """Delete a webhook and all that it was still to be told."""
        async with self._turns.lock(tenant):
            await self._registry.delete(await self._of(tenant, webhook_id))
        self._look()

    async def test(self, tenant: str, webhook_id: str) -> dict[str, Any]:
        """Send a test message at once, once, and tell what came.

        Raises:
            Overloaded: too many are being made, changed or tested already.
        """
        with self._turns.asking(tenant):
            webhook = await self._of(tenant, webhook_id)
            message = test_message(webhook)
            answer = await self._client.post(webhook.url, message, webhook.keys(time.time()))
        return {
            "delivered": answer.delivered,
            "delivery_id": message.message_id,
            "status": answer.status,
            "error": answer.reason,
            "latency_ms": answer.latency_ms,
        }

    async def dead_letters(self, tenant: str, webhook_id: str) -> dict[str, Any]:
        """Show what was given up, the newest first."""
        found = await self._dead(await self._of(tenant, webhook_id), _LISTED_MAX)
        found.sort(key=lambda one: one.due_at, reverse=True)
        return {"dead_letters": [_dead(one) for one in found]}

    async def replay(
        self, tenant: str, webhook_id: str, delivery_ids: Sequence[str] | None
    ) -> dict[str, Any]:
        """Have dead letters wait again, some or all, as if they had never been tried.

        Raises:
            NotFound: there is no dead letter of one of the ids; none is sent again then.
        """
        dead = await self._dead(await self._of(tenant, webhook_id), DEAD_MAX)
        if delivery_ids is not None:
            wanted = set(delivery_ids)
            unknown = wanted - {one.message_id for one in dead}
            if unknown:
                raise NotFound(f"no dead letter {min(unknown)[:100]!r}")
            dead = [one for one in dead if one.message_id in wanted]
        for start in range(0, len(dead), _REPLAYED_AT_ONCE):
            await self._have_replayed(dead[start : start + _REPLAYED_AT_ONCE])
        self._look()
        return {"replayed": len(dead)}

    async def _have_replayed(self, dead: Sequence[Delivery]) -> None:
        """Mark dead letters that are still there: of an erased user, nothing comes back."""
        there = {one.key for one in await self._points.get("delivery", [one.key for one in dead])}
        again = [replace(one, state="replay") for one in dead if one.key in there]
        await self._points.put([one.document() for one in again])

    def _begun(self, webhook: Webhook, ends: Mapping[int, int]) -> Webhook:
        """Have a webhook be told of what is accepted from now on."""
        return replace(
            webhook, log=self._log_name, start=ends, started_at=time.time(), disabled_reason=None
        )

    async def _of(self, tenant: str, webhook_id: str) -> Webhook:
        webhook = await self._registry.get(webhook_id)
        if webhook is None or webhook.tenant != tenant:
            raise NotFound(f"no webhook {webhook_id!r}")
        return webhook

    async def _dead(self, webhook: Webhook, limit: int) -> list[Delivery]:
        labels = {"webhook_id": webhook.webhook_id, "state": "dead"}
        return [read_delivery(one) for one in await self._points.find("delivery", labels, limit)]

    async def _with_state(self, webhook: Webhook, tallies: dict[str, Tally]) -> dict[str, Any]:
        tally = tallies.get(webhook.webhook_id, Tally())
        counts = {
            state: await self._points.count(
                "delivery", {"webhook_id": webhook.webhook_id, "state": state}
            )
            for state in ("waiting", "replay", "dead")
        }
        state = {
            "delivered": tally.delivered,
            "failed": tally.failed,
            "waiting": counts["waiting"] + counts["replay"],
            "dead": counts["dead"],
            "last_error": tally.last_error,
            "last_error_at": tally.last_error_at,
            "last_delivered_at": tally.last_delivered_at,
        }
        return {**_shown(webhook), "state": state}

    async def _check(self, url: str) -> None:
        try:
            await self._resolver.addresses(urlsplit(url).hostname or "")
        except AddressRefused as exc:
            raise InvalidInput([FieldError(("url",), str(exc))]) from exc


def _changed(webhook: Webhook, sent: WebhookPatch) -> Webhook:
    given = sent.model_fields_set
    if sent.rotate_secret or sent.secret is not None:
        webhook = replace(webhook, secrets=_rotated(webhook.secrets, sent.secret, time.time()))
    if "users" in given:
        users = frozenset(sent.users) if sent.users is not None else None
        webhook = replace(webhook, users=users)
    return replace(
        webhook,
        url=sent.url if sent.url is not None else webhook.url,
        types=tuple(sent.types) if sent.types is not None else webhook.types,
        limit=sent.limit if sent.limit is not None else webhook.limit,
        enabled=sent.enabled if sent.enabled is not None else webhook.enabled,
    )


def _rotated(before: tuple[Secret, ...], own: str | None, now: float) -> tuple[Secret, ...]:
    """Put a secret before the others, which go on for a while; the oldest are dropped."""
    ending = [
        replace(one, until=now + OVERLAP_S if one.until is None else one.until) for one in before
    ]
    good = [one for one in ending if one.until is not None and one.until > now]
    return (Secret(own or new_secret()), *good[: _SECRETS_MAX - 1])


def _shown(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "types": list(webhook.types),
        "users": sorted(webhook.users) if webhook.users is not None else None,
        "limit": webhook.limit,
        "enabled": webhook.enabled,
        "disabled_reason": webhook.disabled_reason,
        "created_at": webhook.created_at,
    }


def _dead(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery_id": delivery.message_id,
        "type": delivery.kind,
        "user_id": delivery.user_id,
        "event_id": delivery.event_id or None,
        "attempts": delivery.attempts,
        "reason": delivery.error or "",
        "since": delivery.since,
        "died_at": delivery.due_at,
    }
