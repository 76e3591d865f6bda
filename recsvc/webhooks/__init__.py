"""Webhooks: what changes is sent to the tenants' endpoints, signed, at least once."""

from __future__ import annotations

from recsvc.webhooks.assembly import WebhookParts, open_job
from recsvc.webhooks.manage import WEBHOOKS_MAX, Webhooks

__all__ = [
    "WEBHOOKS_MAX",
    "WebhookParts",
    "Webhooks",
    "open_job",
]
