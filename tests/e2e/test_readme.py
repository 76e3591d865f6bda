"""What the README and the demo promise to a newcomer happens."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import RUN_S, Service, environment, free_port, run

from recsvc.sample import ITEMS

README = Path(__file__).parents[2] / "README.md"
SERVED_AT = "http://127.0.0.1:8000"


def shell_commands() -> list[str]:
    """The curl and indexer commands of the README, each on one line."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
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


def test_the_demo_shows_a_list_change_and_ends_by_itself(data_dir: Path) -> None:
    done = run("recsvc", "demo", "--no-serve", "--port", str(free_port()), data_dir=data_dir)
    assert done.returncode == 0, done.stderr
    assert "5,000 books" in done.stdout
    assert done.stdout.count("ms from event to new list") == 5
    assert "Ada's profile by now: likes" in done.stdout


@pytest.mark.parametrize("role", ["all", "api"])
def test_a_role_that_needs_more_than_one_process_is_refused(service: Service, role: str) -> None:
    done = run(
        *("recsvc", "serve", "--role", role, "--host", "192.0.2.1", "--port", str(service.port)),
        data_dir=service.data_dir,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert ("--role api" in line) == (role == "api")
