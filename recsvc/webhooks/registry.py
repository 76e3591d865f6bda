"""The webhooks that there are: kept in the store, and read again by whoever sends.

That an endpoint is gone is a document of its own, bound to its URL: whoever sends writes nothing
that somebody may be changing meanwhile, and a late answer of an earlier endpoint changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from indexer.stores.webhooks import Document, WebhookPoints
from recsvc.webhooks.model import Webhook, read_webhook

__all__ = ["Registry"]


class Registry:
    """Reads and writes webhooks; `refresh` reads all of them for those who send."""

    def __init__(self, points: WebhookPoints) -> None:
        self._points = points
        self._by_tenant: Mapping[str, list[Webhook]] = {}

    @property
    def all(self) -> Iterable[Webhook]:
        """Every webhook as of the newest `refresh`."""
        return (one for some in self._by_tenant.values() for one in some)

    def of(self, tenant: str) -> list[Webhook]:
        """Return the enabled webhooks of a tenant as of the newest `refresh`."""
        return [one for one in self._by_tenant.get(tenant, ()) if one.enabled]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._by_tenant)

    def __contains__(self, tenant: object) -> bool:
        """Whether a tenant has any."""
        return tenant in self._by_tenant

    async def refresh(self) -> None:
        """Read all anew."""
        found: dict[str, list[Webhook]] = defaultdict(list)
        for webhook in await self._find({}):
            found[webhook.tenant].append(webhook)
        self._by_tenant = dict(found)

    async def listed(self, tenant: str) -> list[Webhook]:
        """Return a tenant's webhooks as they are stored, oldest first."""
        found = await self._find({"tenant": tenant})
        return sorted(found, key=lambda one: (one.created_at, one.webhook_id))

    async def get(self, webhook_id: str) -> Webhook | None:
        """Return a webhook as it is stored."""
        found = await self._points.get("webhook", [webhook_id])
        gone = await self._points.get("gone", [webhook_id]) if found else []
        return _read(found[0], gone[0] if gone else None) if found else None

    async def put(self, webhook: Webhook) -> None:
        """Write a webhook, whose ``enabled`` counts from now on."""
        await self._points.put([webhook.document()])
        await self._points.delete([_gone(webhook)])

    async def disable(self, webhook: Webhook, reason: str) -> None:
        """Have a webhook be sent nothing more until somebody enables it, unless it has another URL
        by now."""
        await self._points.put([_gone(webhook, reason)])

    async def delete(self, webhook: Webhook) -> None:
        """Delete a webhook and all that it was still to be told."""
        await self._points.delete([webhook.document()])
        await self.forget(webhook)

    async def forget(self, webhook: Webhook) -> None:
        """Delete what there is of a webhook that was deleted."""
        await self._points.delete([_gone(webhook)])
        await self._points.delete_deliveries(webhook.webhook_id)

    async def _find(self, labels: Mapping[str, str]) -> list[Webhook]:
        found = await self._points.find("webhook", labels)
        gone = {one.key: one for one in await self._points.find("gone", labels)} if found else {}
        return [_read(one, gone.get(one.key)) for one in found]


def _read(document: Document, gone: Document | None) -> Webhook:
    webhook = read_webhook(document)
    if gone is None or gone.body["url"] != webhook.url or not webhook.enabled:
        return webhook
    return replace(webhook, enabled=False, disabled_reason=gone.body["reason"])


def _gone(webhook: Webhook, reason: str = "") -> Document:
    body = {"url": webhook.url, "reason": reason}
    labels = {"tenant": webhook.tenant, "webhook_id": webhook.webhook_id}
    return Document("gone", webhook.webhook_id, body, labels)
