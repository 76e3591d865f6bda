"""The demo: `recsvc demo`."""

from __future__ import annotations

__all__ = ["run_demo"]


def run_demo(
    host: str, port: int, *, serve: bool, open_page: bool, shoppers: int, rate: float
) -> None:
    """Serve from `data/demo`, play the show against it, and go on with shoppers, or stop.

    ``shoppers`` of them send ``rate`` events a second together; ``open_page``: open the console in
    a browser, where there is one to be seen.

    Raises:
        RecsvcError: the service cannot start, or does not answer as it should.
    """
    from recsvc.demo.command import run

    run(host, port, serve=serve, open_page=open_page, shoppers=shoppers, rate=rate)
