"""The console where things go wrong: it says so, keeps what it has, and goes on by itself."""

from __future__ import annotations

from typing import Any, Final

from pages import Pages, find, ranked, settle
from playwright.sync_api import Page, Route, expect
from processes import Service

_SOCKETS: Final = """
window.WebSocket = class extends WebSocket {
  constructor(url) {
    super(window.away ? String(url).replace("/v1/ws", "/v1/nowhere") : url);
    (window.sockets ??= []).push(this);
  }
};
"""
"""Keeps the page's connections; ``away``: new ones are refused."""

_COUNTED: Final = """
const { fetch } = window, under = {};
window.most = {};
window.fetch = async (path, ...more) => {
  const name = path.split("?")[0];
  under[name] = (under[name] ?? 0) + 1;
  most[name] = Math.max(most[name] ?? 0, under[name]);
  try { return await fetch(path, ...more); } finally { under[name] -= 1; }
};
"""
"""Counts how many requests of a path there are at a time."""

_HIDE: Final = """
(hidden) => {
  Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


def prepared(pages: Pages, script: str, path: str) -> Page:
    """Open a page that runs ``script`` before anything else."""
    page = pages.open("/healthz")
    page.add_init_script(script)
    page.goto(path)
    return settle(page)


def likes(service: Service, user_id: str, item_id: str) -> None:
    """Have a user like an item."""
    event = {"user_id": user_id, "event_type": "like", "item_id": item_id}
    service.post("/v1/events", event, wait="applied")


def fulfil(page: Page, url: str, **answer: Any) -> None:
    """Have something else than the service answer what the page asks for."""

    def handle(route: Route) -> None:
        route.fulfill(**answer)

    page.route(url, handle)


def test_a_hidden_page_loads_once_it_is_seen(pages: Pages) -> None:
    page = settle(pages.open("/#/items"))
    page.evaluate(_HIDE, True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/#/costs")
    expect(page.get_by_text("Loading …")).to_be_visible()
    page.wait_for_timeout(200)
    assert not [url for url in asked if "/v1/costs" in url]
    page.evaluate(_HIDE, False)
    expect(page.get_by_text("Month to date")).to_be_visible()


def test_an_answer_that_is_no_json_is_told_and_asked_for_again(pages: Pages) -> None:
    page = settle(pages.open("/#/overview"))
    fulfil(page, "**/v1/costs*", status=200, content_type="text/html", body="<p>Sign in")
    page.goto("/#/costs")
    expect(page.get_by_role("alert")).to_contain_text("The answer is no JSON")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text("Month to date")).to_be_visible()


def test_what_is_known_stays_with_its_time_while_nothing_answers(pages: Pages) -> None:
    page = settle(pages.open("/#/dead-letters"))
    pages.expect("500")
    fulfil(page, "**/v1/dead-letters*", status=500, json={"title": "Broken", "status": 500})
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Broken")
    expect(page.get_by_text("as of ")).to_be_visible()
    expect(page.get_by_role("region", name="Letters")).to_be_visible()
    page.unroute_all()
    expect(alert).to_have_count(0)


def test_a_part_that_is_not_well_is_told_beside_the_pages(pages: Pages) -> None:
    page = settle(pages.open("/#/items"))
    parts = {"store": "ok", "embedder": "not well (TimeoutError); new items wait"}
    fulfil(page, "**/readyz", json={"ready": True, "parts": parts})
    expect(page.get_by_text("ready, 1 part degraded")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="not well")).to_be_attached()


def test_a_page_that_breaks_says_so_and_leaves_the_others(pages: Pages) -> None:
    page = settle(pages.open("/#/items"))
    pages.expect("TypeError")
    fulfil(page, "**/v1/costs*", json={"rows": 3})
    page.get_by_role("link", name="Costs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This page broke")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Month to date")).to_be_visible()
    page.get_by_role("link", name="Items", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Items")


def test_there_is_one_request_of_a_kind_at_a_time_under_many_events(
    pages: Pages, service: Service
) -> None:
    likes(service, "steady", "book-2")
    page = prepared(pages, _COUNTED, "/#/user?user=steady")
    for n in range(3, 15):
        likes(service, "steady", f"book-{n}")
    expect(page.get_by_text("version 13")).to_be_visible()
    most: dict[str, int] = page.evaluate("most")
    assert most["v1/users/steady"] == most["v1/users/steady/recommendations"] == 1


def test_what_was_missed_while_the_connection_was_away_is_loaded(
    pages: Pages, service: Service
) -> None:
    page = prepared(pages, _SOCKETS, "/#/try?user=missed")
    expect(page.get_by_text("ready, live")).to_be_visible()
    pages.expect("WebSocket")
    page.evaluate("window.away = true; sockets.at(-1).close()")
    expect(page.get_by_text("ready, live")).to_have_count(0)
    best = ranked(page)[0]
    likes(service, "missed", best)
    page.wait_for_function("() => sockets.length > 1")
    page.evaluate("window.away = false; dispatchEvent(new Event('online'))")
    expect(page.locator(f"[data-item='{best}']")).to_have_count(0)


def test_events_go_by_requests_where_there_is_no_websocket(pages: Pages, service: Service) -> None:
    pages.expect("WebSocket")
    page = prepared(pages, f"{_SOCKETS}; window.away = true;", "/#/try?user=proxied")
    find(page, "The Hobbit").get_by_role("button", name="Buy").click()
    expect(page.get_by_text("You bought The Hobbit")).to_be_visible()
    expect(page.get_by_role("heading", name="Recommended to proxied now")).to_be_visible()
    assert service.get("/v1/users/proxied")["counts"] == {"purchase": 1}


def test_an_event_whose_answer_is_lost_counts_once(pages: Pages, service: Service) -> None:
    page = prepared(pages, _SOCKETS, "/#/try?user=once")
    expect(page.get_by_text("ready, live")).to_be_visible()
    result = page.evaluate(
        """async () => {
          const { sendEvent } = await import("/console/live.js");
          const event = { user_id: "once", event_type: "like", item_id: "book-2" };
          const coming = sendEvent(event);
          await null;
          sockets.at(-1).close();
          return await coming;
        }"""
    )
    assert result["success"]
    assert service.get("/v1/users/once")["counts"] == {"like": 1}


def test_the_console_does_without_storage(pages: Pages) -> None:
    blocked = """
    for (const name of ["localStorage", "sessionStorage"]) {
      const get = () => { throw new DOMException("no", "SecurityError"); };
      Object.defineProperty(window, name, { get });
    }"""
    page = prepared(pages, blocked, "/#/items?item=book-2")
    page.get_by_label("Colours").select_option("Dark")
    expect(page.locator("html[data-theme=dark]")).to_be_attached()


def test_the_colours_are_chosen_before_anything_is_drawn(pages: Pages) -> None:
    page = settle(pages.open("/", scheme="light"))
    page.get_by_label("Colours").select_option("Dark")
    fulfil(page, "**/console/app.js", content_type="text/javascript", body="")
    page.reload()
    assert page.locator("html[data-theme=dark]").count() == 1


def test_an_item_has_its_page_whatever_its_id(pages: Pages, service: Service) -> None:
    item = {"item_id": "features", "features": {"title": "All features", "category": "odd"}}
    service.post("/v1/items", [item])
    try:
        page = settle(pages.open("/#/items?item=features"))
        expect(page.get_by_role("heading", name="All features")).to_be_visible()
        expect(page).to_have_title("All features · Items · recsvc")
    finally:
        service.http.delete("/v1/items/features").raise_for_status()


def test_an_item_that_somebody_deletes_meanwhile_is_created_anew(
    pages: Pages, service: Service
) -> None:
    service.post("/v1/items", [{"item_id": "fleeting", "features": {"title": "Fleeting"}}])
    page = settle(pages.open("/#/items?item=fleeting"))
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Value of title").fill("Lasting")
    page.get_by_role("link", name="Costs").click()
    expect(page).to_have_title("Costs · recsvc")
    service.http.delete("/v1/items/fleeting").raise_for_status()
    pages.expect("404")
    page.goto("/#/items?item=fleeting")
    expect(page.get_by_role("region", name="This item is gone.")).to_contain_text("Lasting")
    page.get_by_role("button", name="Create anew").click()
    expect(page.get_by_label("Id", exact=True)).to_have_value("fleeting")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("in the lists from now on")).to_be_visible()
    assert service.get("/v1/items/fleeting")["features"]["title"] == "Lasting"
    service.http.delete("/v1/items/fleeting").raise_for_status()
