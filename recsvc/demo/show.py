"""A real catalogue, real readers, and a shopper whose list changes as you watch."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
import orjson
from rich.console import Console
from rich.progress import track
from rich.table import Table

from recsvc.demo.readers import history, readers
from recsvc.sample import ITEMS

__all__ = ["READERS", "SHOPPER", "Show"]

SHOPPER: Final = "ada"
READERS: Final = 60
"""How many of the sample's readers are there before her."""
_CHUNK: Final = 500
_TOP: Final = 5
_OTHERS: Final = ("grace", "alan", "edsger")
_OTHERS_EVENTS: Final = 15

_STORY: Final[Sequence[tuple[str, dict[str, Any]]]] = (
    ("clicks on Dune", {"event_type": "click", "title": "Dune (Dune Chronicles #1)"}),
    ("buys Foundation", {"event_type": "purchase", "title": "Foundation (Foundation #1)"}),
    ("searches for “murder mystery detective”", {
        "event_type": "search", "query": "murder mystery detective"}),
    ("rates And Then There Were None 5 of 5", {
        "event_type": "rate", "value": 5, "title": "And Then There Were None"}),
    ("dislikes Hyperion", {"event_type": "dislike", "title": "Hyperion (Hyperion Cantos, #1)"}),
)  # fmt: skip


class Show:
    """The story of Ada, told by what the service answers."""

    def __init__(self, client: httpx.AsyncClient, console: Console) -> None:
        self._client, self._console = client, console
        self.items: dict[str, dict[str, Any]] = {}
        """The features of each item, by its id, once played."""

    async def play(self) -> None:
        """Load the catalogue and the readers, let time pass, print.

        Raises:
            httpx.HTTPError: the service refuses or does not answer.
            KeyError: an item of the story is not in the catalogue.
        """
        await self._until_ready()
        await self._load()
        await self._tell()

    async def _until_ready(self) -> None:
        for _ in range(200):
            try:
                if (await self._client.get("/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)

    async def _load(self) -> None:
        start = time.perf_counter()
        body = gzip.decompress(ITEMS.read_bytes())
        self.items = {i["item_id"]: i["features"] for i in map(orjson.loads, body.splitlines())}
        headers = {"Content-Type": "application/x-ndjson"}
        with self._console.status("loading 5,000 books (goodbooks-10k, CC BY-SA 4.0) ..."):
            result = self._ok(await self._client.post("/v1/items", content=body, headers=headers))
        known = result["unchanged"]
        self._console.print(
            f"[bold]{result['stored'] + known:,} books[/] in the catalogue "
            f"({known:,} were there already), {time.perf_counter() - start:.1f} s"
        )
        start = time.perf_counter()
        events = history()
        before = {reader.user_id for reader in readers(events)[:READERS]}
        events = [event for event in events if event["user_id"] in before]
        chunks = [events[n : n + _CHUNK] for n in range(0, len(events), _CHUNK)]
        for chunk in track(
            chunks, "ratings of real readers", console=self._console, transient=True
        ):
            self._ok(await self._client.post("/v1/events?wait=applied&timeout_s=30", json=chunk))
        self._console.print(
            f"[bold]{len(events):,} ratings[/] of {READERS} real readers folded, "
            f"{time.perf_counter() - start:.1f} s\n"
        )

    async def _tell(self) -> None:
        for name in (SHOPPER, *_OTHERS):
            await self._client.delete(f"/v1/users/{name}")
        others = asyncio.gather(*(self._shop(name, n) for n, name in enumerate(_OTHERS)))
        before = await self._list(f"/v1/users/{SHOPPER}/recommendations")
        self._print("Ada is new here: what is popular", before, [], None)
        for text, event in _STORY:
            sent = {k: v for k, v in event.items() if k != "title"}
            if "title" in event:
                sent["item_id"] = self._named(event["title"])
            start = time.perf_counter()
            body = {"user_id": SHOPPER, **sent}
            self._ok(await self._client.post("/v1/events?wait=applied", json=body))
            after = await self._list(f"/v1/users/{SHOPPER}/recommendations?explain=true")
            self._print(f"Ada {text}", after, before, (time.perf_counter() - start) * 1e3)
            before = after
        await others
        await self._profile()
        await self._summary()

    async def _profile(self) -> None:
        """Print the profile, which is made off the path of the events, a second or two later."""
        for _ in range(100):
            user = self._ok(await self._client.get(f"/v1/users/{SHOPPER}"))
            if user["profile"]:
                self._console.print(f"Ada's profile by now: {user['profile']['summary']}")
                return
            await asyncio.sleep(0.1)

    async def _shop(self, name: str, number: int) -> None:
        """Another shopper, who clicks through the list that they are shown."""
        items = list(self.items)
        item_id = items[97 * (number + 1)]
        for n in range(_OTHERS_EVENTS):
            event = {"user_id": name, "event_type": "click", "item_id": item_id}
            self._ok(await self._client.post("/v1/events?wait=applied", json=event))
            shown = await self._list(f"/v1/users/{name}/recommendations")
            item_id = shown[n % len(shown)]["item_id"]

    async def _summary(self) -> None:
        stats = self._ok(await self._client.get("/v1/stats"))
        fresh, answer = stats["steps"]["freshness"], stats["steps"]["recommend"]
        self._console.print(
            f"{stats['totals']['events']:,} events in the log; durable to visible: p50 "
            f"{fresh['p50']:.1f} ms; making a list: p50 {answer['p50']:.1f} ms, "
            f"p99 {answer['p99']:.1f} ms\n"
        )

    def _print(
        self,
        title: str,
        items: Sequence[dict[str, Any]],
        before: Sequence[dict[str, Any]],
        took_ms: float | None,
    ) -> None:
        took = f"  [green]{took_ms:.1f} ms from event to new list[/]" if took_ms else ""
        self._console.print(f"[bold]{title}[/]{took}")
        ranks = {item["item_id"]: rank for rank, item in enumerate(before)}
        table = Table(box=None, show_header=False, padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=56)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for rank, item in enumerate(items):
            features = item["features"]
            table.add_row(
                _moved(ranks.get(item["item_id"]), rank) if before else "",
                f"{item['score']:.2f}",
                f"{features['title']} [dim]{features['authors'][0]}[/]",
                self._why(item["reasons"]),
            )
        self._console.print(table, "")

    def _why(self, reasons: Sequence[dict[str, Any]]) -> str:
        if not reasons:
            return ""
        first = reasons[0]
        about = str(first.get("query") or first.get("feature") or "")
        if "item_id" in first:
            about = str(self.items[first["item_id"]]["title"])[:24]
        kind = first.get("event_type", first["kind"])
        return f"[dim]{kind} {about} {first['contribution']:+.2f}[/]"

    def _named(self, title: str) -> str:
        found: list[str] = [i for i, f in self.items.items() if f["title"].startswith(title)]
        if not found:
            raise KeyError(title)
        return found[0]

    async def _list(self, path: str) -> list[dict[str, Any]]:
        separator = "&" if "?" in path else "?"
        answer = self._ok(await self._client.get(f"{path}{separator}limit={_TOP}"))
        items: list[dict[str, Any]] = answer["items"]
        return items

    def _ok(self, response: httpx.Response) -> Any:
        response.raise_for_status()
        return response.json()


def _moved(before: int | None, rank: int) -> str:
    if before is None:
        return "[green]new[/]"
    if before == rank:
        return "[dim]  =[/]"
    return f"[cyan]{'↑' if before > rank else '↓'}{abs(before - rank):>2}[/]"
