"""A provider's key is in nothing that the service prints, answers or stores."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from processes import Service, catalogue, run

CANARY = "sk-canary-5f2d81c07b9e4a63"


class _Tattler(BaseHTTPRequestHandler):
    """Refuses every request and repeats all of its headers, in body, reason and headers."""

    status = 401

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        sent = dict(self.headers.items())
        body = json.dumps({"error": {"message": f"bad request: {sent}"}}).encode()
        self.send_response(self.status)
        self.send_header("X-Echo", sent.get("Authorization", ""))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def tattling(status: int) -> Iterator[str]:
    """A provider that gives its callers' keys away."""
    handler = type("Handler", (_Tattler,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join()


def key_settings(way: str, folder: Path) -> dict[str, str]:
    """Give the key in one of the three ways."""
    if way == "environment":
        return {"RECSVC_PROVIDER_API_KEY": CANARY}
    file = folder / "provider.key"
    file.write_text(json.dumps({"api_key": CANARY}))
    if way == "file":
        return {"RECSVC_PROVIDER_API_KEY_FILE": str(file)}
    script = folder / "print_key.py"
    script.write_text(f"print(open({str(file)!r}).read())")
    return {"RECSVC_PROVIDER_API_KEY_COMMAND": f"{sys.executable} {script}"}


@pytest.mark.parametrize(
    ("way", "status"),
    [("environment", 401), ("file", 401), ("command", 401), ("environment", 400),
     ("environment", 500)],
)  # fmt: skip
def test_a_provider_that_repeats_the_key_does_not_make_us_show_it(
    tmp_path: Path, way: str, status: int
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with tattling(status) as url:
        service = Service(
            tmp_path / "service" / "data",
            RECSVC_PROVIDER_BASE_URL=url,
            RECSVC_PROVIDER_MAX_RETRIES="1",
            RECSVC_PROVIDER_TIMEOUT_S="1",
            **key_settings(way, secrets),
        )
        service.data_dir.parent.mkdir()
        shown: list[str] = []
        try:
            service.start()
            shown.append(json.dumps(service.post("/v1/items", catalogue(3))))
            body = {"user_id": "ada", "event_type": "search", "query": "kettle"}
            shown.append(json.dumps(service.post("/v1/events", body, wait="applied", timeout_s=1)))
            shown.append(service.http.post("/v1/recommendations", json={"text": "tea"}).text)
            paths = ("/v1/items/i0", "/v1/stats", "/readyz", "/metrics", "/v1/users/ada")
            shown += [service.http.get(path).text for path in paths]
            assert service.terminate() == 0
        finally:
            service.close()
        costs = run("recsvc", "costs", "--json", data_dir=service.data_dir)
    assert costs.returncode == 0, costs.stderr
    shown += [costs.stdout, costs.stderr, service.log.read_text()]
    assert not [text for text in shown if CANARY in text]
    stored = [file for file in service.data_dir.parent.rglob("*") if file.is_file()]
    assert stored
    assert not [file for file in stored if CANARY.encode() in file.read_bytes()]


def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    done = run(
        *("recsvc", "serve"),
        data_dir=data_dir,
        RECSVC_PROVIDER_BASE_URL="http://127.0.0.1:9/v1",
        RECSVC_PROVIDER_API_KEY=f"{CANARY} and more",
    )
    assert done.returncode == 2
    assert CANARY not in done.stdout + done.stderr
    assert "RECSVC_PROVIDER_API_KEY" in done.stderr
