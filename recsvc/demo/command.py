"""Runs the service, the show and the shoppers in one process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from indexer.cli import log_to_stderr, run_loop, settings_or_exit
from indexer.errors import StoreUnavailable
from indexer.runtime import Runtime
from recsvc.demo.readers import history, readers
from recsvc.demo.shoppers import Shoppers
from recsvc.demo.show import READERS, SHOPPER, Show
from recsvc.server import serve as serve_until_stopped

__all__ = ["can_show_pages", "run"]

_FOLDER: Final = Path("data/demo")
_WIDTH: Final = 110
_TIMEOUT_S: Final = 60.0


def run(host: str, port: int, *, serve: bool, open_page: bool, shoppers: int, rate: float) -> None:
    """Do what `run_demo` says."""
    log_to_stderr(logging.WARNING)
    settings = settings_or_exit(data_dir=os.environ.get("RECSVC_DATA_DIR", _FOLDER))
    demo = _Demo(f"http://{host}:{port}", settings.data_dir, serve, open_page, shoppers, rate)
    run_loop(serve_until_stopped(settings, host, port, started=demo.play))
    if demo.failed is not None:
        raise StoreUnavailable(f"the demo did not get through: {demo.failed}")


def can_show_pages(platform: str, environment: Mapping[str, str], *, terminal: bool) -> bool:
    """Whether a person is there to see a page: not in a pipe, nor where there is no display."""
    display = any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return terminal and (display or platform in ("darwin", "win32"))


class _Demo:
    """What is played beside the serving."""

    def __init__(
        self,
        url: str,
        data_dir: Path,
        keep_serving: bool,
        open_page: bool,
        shoppers: int,
        rate: float,
    ) -> None:
        self._url, self._data_dir = url, data_dir
        self._keep_serving, self._open_page = keep_serving, open_page
        self._shoppers, self._rate = shoppers, rate
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
        self.failed: Exception | None = None

    async def play(self, _: Runtime) -> None:
        """Play the show; then have shoppers go on until this is cancelled, or stop the service."""
        try:
            async with httpx.AsyncClient(
                base_url=self._url, timeout=_TIMEOUT_S, trust_env=False
            ) as client:
                show = Show(client, self._console)
                await show.play()
                if self._keep_serving:
                    await self._invite()
                    await self._go_on(client, show)
                    return
        except (httpx.HTTPError, KeyError) as exc:
            self.failed = exc
        os.kill(os.getpid(), signal.SIGTERM)

    async def _go_on(self, client: httpx.AsyncClient, show: Show) -> None:
        if not self._shoppers:
            return
        others = readers(history())[READERS:]
        shoppers = Shoppers(client, others, show.items, count=self._shoppers, rate=self._rate)
        try:
            await shoppers.run()
        finally:
            self._console.print(
                f"\n{shoppers.sent:,} events of simulated shoppers; {shoppers.refused:,} of their "
                "requests were refused"
            )

    async def _invite(self) -> None:
        """Show where to look, and open it where it can be seen."""
        page = f"{self._url}/#/try?user={SHOPPER}"
        self._say_what_to_try(page)
        seen = can_show_pages(sys.platform, os.environ, terminal=sys.stdout.isatty())
        if self._open_page and seen:
            await asyncio.to_thread(webbrowser.open, page)

    def _say_what_to_try(self, page: str) -> None:
        url, out = self._url, self._console
        out.print(f"[bold]Serving on {url}[/]: the console, with Ada's list")
        out.print(f"  {page}", markup=False, soft_wrap=True)
        if self._shoppers:
            out.print(
                f"where {self._shoppers} simulated shoppers now go on, {self._rate:g} events a "
                "second (--shoppers, --rate)."
            )
        out.print(f"API documentation: {url}/docs. In another terminal:\n")
        for line in _commands(url):
            out.print(f"  {line}", markup=False, soft_wrap=True)
        out.print(f"\nCtrl-C stops; the data stays in {self._data_dir}.", soft_wrap=True)


def _commands(url: str) -> tuple[str, ...]:
    return (
        f"curl -s '{url}/v1/users/you/recommendations?limit=3'",
        f"curl -s -X POST '{url}/v1/events?wait=applied' "
        """-d '{"user_id": "you", "event_type": "purchase", "item_id": "book-17"}'""",
        f"curl -s '{url}/v1/users/you/recommendations?limit=3&explain=true'",
        f"curl -s '{url}/v1/users/you/recommendations?filter=category=fantasy"
        "&filter=year%3E2000&diversity=0.5'",
        f"curl -s '{url}/v1/items/book-17/similar?limit=3'",
        f"""curl -s '{url}/v1/recommendations' -d '{{"text": "dragons and magic schools"}}'""",
        f"curl -s '{url}/v1/stats'",
    )
