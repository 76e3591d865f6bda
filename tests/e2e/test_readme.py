"""What the README and the demo promise to a newcomer happens."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
from kafka_broker import running as running_broker
from processes import RUN_S, Service, environment, free_port, run, wait_for
from stand_in import stand_in
from valkey_server import ValkeyServer

from recsvc.sample import ITEMS

README = Path(__file__).parents[2] / "README.md"
SERVED_AT = "http://127.0.0.1:8000"
MANY = "recsvc serve --role api"
"""What the block has that is about several processes."""


def blocks() -> list[str]:
    """The shell blocks of the README, each command on one line."""
    found = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    return [block.replace("\\\n", " ") for block in found]


def shell_commands() -> list[str]:
    """The curl and indexer commands of the README that one process answers."""
    lines = "\n".join(block for block in blocks() if MANY not in block).splitlines()
    return [line.strip() for line in lines if line.startswith(("curl", "indexer"))]


def first_item() -> str:
    """The item that the README shows."""
    [shown] = re.findall(r'`(\{"item_id".*?\}\})`', README.read_text(), re.DOTALL)
    return json.dumps(json.loads(shown))


def test_each_command_of_the_readme_does_what_it_says(service: Service, tmp_path: Path) -> None:
    service.start()
    items = [json.loads(line) for line in gzip.decompress(ITEMS.read_bytes()).splitlines()[:60]]
    assert service.post("/v1/items", items)["stored"] == 60
    (tmp_path / "items.jsonl").write_text(first_item() + "\n")
    commands = shell_commands()
    assert len(commands) >= 6
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    answers = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command.replace(SERVED_AT, service.url)],
            capture_output=True,
            text=True,
            timeout=RUN_S,
            cwd=tmp_path,
            env={**environment(service.data_dir), "PATH": path},
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        if command.startswith("curl"):
            answer = json.loads(done.stdout)
            assert "title" not in answer, (command, answer)
            answers.append(answer)
    before, sent, after = answers[:3]
    assert before["strategy"] == "popular"
    assert sent["results"][0]["success"]
    assert after["strategy"] == "personal"
    assert after["items"][0]["reasons"]
    filtered = next(a for c, a in zip(commands[3:], answers[2:], strict=False) if "kitchen" in c)
    assert [item["item_id"] for item in filtered["items"]] == ["p1"]


def test_the_readmes_processes_around_kafka_redis_and_qdrant_work_together(tmp_path: Path) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(running_broker())
        valkey = ValkeyServer(tmp_path / "valkey").start()
        stack.callback(valkey.stop)
        qdrant = stack.enter_context(stand_in())
        grpc = httpx.get(f"{qdrant}/stand-in", trust_env=False).json()["grpc_port"]
        [block] = [block for block in blocks() if MANY in block]
        for said, here in (
            ("localhost:9092", broker.servers),
            ("redis://localhost:6379/1", valkey.url),
            ("http://localhost:6333", qdrant),
            ("GRPC_PORT=6334", f"GRPC_PORT={grpc}"),
            (MANY, f"exec {MANY} --port {port}"),
        ):
            assert said in block
            block = block.replace(said, here)
        stack.enter_context(shell(block, tmp_path))
        client = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0, trust_env=False)
        )
        wait_for(lambda: is_ready(client), 30.0)
        assert client.post("/v1/items", content=f"[{first_item()}]").json()["stored"] == 1
        one = {"user_id": "ada", "event_type": "click", "item_id": "p1"}
        waiting = {"wait": "applied", "timeout_s": 20}
        answer = client.post("/v1/events", json=one, params=waiting)
        assert answer.status_code == 200, answer.text
        assert client.get("/v1/users/ada/recommendations").json()["user_version"] == 1


@contextlib.contextmanager
def shell(block: str, folder: Path) -> Iterator[None]:
    """Run a block as a process group of its own, which is ended with it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "shell.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", block],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**environment(folder / "data"), "PATH": path},
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(RUN_S) == 0, (folder / "shell.log").read_text()
        wait_for(lambda: not group_lives(process.pid), RUN_S)


def group_lives(group: int) -> bool:
    """Whether a process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def is_ready(client: httpx.Client) -> bool:
    """Whether the API answers and is ready."""
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_an_api_without_a_log_that_others_fold_is_refused(service: Service) -> None:
    command = ("recsvc", "serve", "--role", "api", "--port", str(service.port))
    done = run(*command, data_dir=service.data_dir)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()[-1:]
    assert "RECSVC_EVENT_LOG_URL" in line
    assert "kafka://" in line


def test_an_address_beyond_this_machine_without_keys_is_refused(service: Service) -> None:
    command = ("recsvc", "serve", "--host", "192.0.2.1", "--port", str(service.port))
    done = run(*command, data_dir=service.data_dir)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "RECSVC_API_KEYS_FILE" in line
