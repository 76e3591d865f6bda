"""The demo shows what it says, and goes on when its show is over, or ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import RUN_S, Service, run, wait_for


@pytest.fixture
def demo(data_dir: Path) -> Iterator[Service]:
    """A demo that is not started yet, with three busy shoppers."""
    command = ("recsvc", "demo", "--shoppers", "3", "--rate", "40")
    made = Service(data_dir, command=command, DISPLAY="", WAYLAND_DISPLAY="")
    try:
        yield made
    finally:
        made.close()


def test_the_show_is_followed_by_shoppers_until_it_is_stopped_or_by_nothing(demo: Service) -> None:
    demo.start()
    wait_for(lambda: "Ctrl-C stops" in demo.log.read_text(), 2 * RUN_S)
    before = demo.get("/v1/stats")["totals"]["events"]
    wait_for(lambda: demo.get("/v1/stats")["totals"]["events"] > before + 20)
    assert demo.terminate() == 0
    said = demo.log.read_text()
    assert f"{demo.url}/#/try?user=ada" in said
    [sent, refused] = re.findall(r"([\d,]+) (?:events of simulated|of their requests)", said)
    assert int(sent.replace(",", "")) > 20
    assert refused == "0"
    shows_a_list_change(said)
    done = run("recsvc", "demo", "--no-serve", "--port", str(demo.port), data_dir=demo.data_dir)
    assert done.returncode == 0, done.stderr
    assert "5,000 were there already" in done.stdout
    shows_a_list_change(done.stdout)


def shows_a_list_change(said: str) -> None:
    """Check that the show was played to its end."""
    assert "5,000 books" in said
    assert said.count("ms from event to new list") == 5
    assert "Ada's profile by now: likes" in said
