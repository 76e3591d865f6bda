"""The image and the compose file: parsed and linted, and their small commands really run."""

from __future__ import annotations

import re
import shutil
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from deploy_cases import (
    BIN,
    DEPLOY,
    GRACE_LEAST_S,
    ROOT,
    accepted,
    compose,
    dockerfile,
    run,
    services,
    unknown_options,
)
from dotenv import dotenv_values

CLUSTER = "cluster.env"
OURS = ("api", "worker")
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(-[\w.-]+)?")


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers ``status`` on /readyz, and 404 elsewhere; its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def test_the_dockerfile_passes_its_linter():
    linted = run([str(BIN / "hadolint"), "--no-color", "Dockerfile"])
    assert (linted.stdout, linted.returncode) == ("", 0)


def test_every_stage_starts_from_a_full_version():
    assert all(PINNED.fullmatch(stage[0][1].split(" ")[0]) for stage in dockerfile())


def test_the_last_stage_installs_no_system_package_and_runs_as_a_user_by_number():
    last = dockerfile()[-1]
    assert not [rest for name, rest in last if name == "RUN" and "apt-get" in rest]
    assert [rest for name, rest in last if name == "USER"] == ["10001:10001"]


def test_the_extras_in_the_image_exist():
    named = re.search(r"'\.\[([\w,]+)\]'", (ROOT / "Dockerfile").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert named is not None
    assert set(named[1].split(",")) <= project["optional-dependencies"].keys()


def test_the_image_is_made_of_what_is_let_through_and_of_nothing_else():
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copies = [rest.split()[:-1] for name, rest in dockerfile()[0] if name == "COPY"]
    assert sorted(let_through) == sorted(one for copied in copies for one in copied)
    assert all((ROOT / one).exists() for one in let_through)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_of_the_image_asks_the_process(status: int, code: int):
    (check,) = [rest for name, rest in dockerfile()[-1] if name == "HEALTHCHECK"]
    command = yaml.safe_load(check.partition("CMD ")[2])
    with answering(status) as port:
        url = f"http://127.0.0.1:{port}/readyz"
        assert run(command, HEALTH_URL=url, http_proxy="http://127.0.0.1:9").returncode == code


@pytest.mark.parametrize("env_names", [(), (CLUSTER,)])
def test_the_compose_file_follows_the_compose_specification(env_names: tuple[str, ...]):
    read = compose_spec.PyCompose.from_yaml(yaml.safe_dump(compose(*env_names)))
    assert set(read.service_names()) == services().keys()


def test_every_image_is_pinned_or_built_here_once():
    images = {one["image"] for one in services().values()}
    assert [i for i in images if i != "recsvc:local" and not PINNED.fullmatch(i)] == []
    assert [name for name, one in services().items() if "build" in one] == ["keys"]


def test_every_service_is_checked_bounded_and_started_again():
    for name, one in services().items():
        assert {"cpus", "memory"} <= one["deploy"]["resources"]["limits"].keys(), name
        if name == "keys":  # runs once
            assert one["restart"] == "no"
            continue
        assert one["restart"] == "unless-stopped", name
        assert "test" in one["healthcheck"] or name in OURS, name  # else the image's own
        assert seconds(one["stop_grace_period"]) >= 20, name


def test_no_service_has_more_rights_than_it_needs():
    for name, one in services().items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["read_only"] or name == "kafka", name


def test_one_port_is_published_and_on_this_machine_only():
    ports = [port for one in services().values() for port in one.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000"]


@pytest.mark.parametrize("env_names", [(), (CLUSTER,)])
def test_the_settings_of_our_containers_are_accepted(env_names: tuple[str, ...]):
    for name in OURS:
        settings = accepted(services(*env_names)[name]["environment"])
        assert settings.event_log_url == "kafka://kafka:9092"
    assert accepted(services()["api"]["environment"]).api_keys_file is not None


def test_there_is_no_key_for_qdrant_that_is_the_same_everywhere():
    uses = re.findall(r"\$\{?RECSVC_QDRANT_API_KEY(..)", (ROOT / "docker-compose.yml").read_text())
    assert uses == [":?", ":?"]
    assert not dotenv_values(DEPLOY / ".env.example")["RECSVC_QDRANT_API_KEY"]


def test_a_cluster_is_three_nodes_and_goes_on_without_one():
    found = services(CLUSTER)
    nodes = {name for name in found if name.startswith("qdrant")}
    settings = accepted(found["worker"]["environment"])
    assert set(settings.qdrant_url.split(",")) == {f"http://{name}:6333" for name in nodes}
    assert settings.qdrant_write_consistency < settings.qdrant_replication <= len(nodes) == 3
    for name in nodes:
        assert f"http://{name}:6335" in found[name]["command"]
        follows = "--bootstrap" in found[name]["command"]
        assert follows == (found[name].get("profiles") == ["cluster"]) == (name != "qdrant")


def test_only_the_nodes_of_a_cluster_need_not_be_there():
    for one in services().values():
        for name, how in one.get("depends_on", {}).items():
            assert how.get("required", True) == ("profiles" not in services()[name])


@pytest.mark.parametrize("name", OURS)
def test_our_commands_exist_and_are_asked_where_they_serve(name: str):
    one = services()[name]
    assert unknown_options(one["command"]) == set()
    port = one["command"][one["command"].index("--port") + 1]
    assert one["environment"]["HEALTH_URL"] == f"http://127.0.0.1:{port}/readyz"
    assert seconds(one["stop_grace_period"]) >= GRACE_LEAST_S


def test_the_proxy_asks_every_api_whether_it_is_ready():
    caddyfile = (DEPLOY / "Caddyfile").read_text()
    upstreams = services()["proxy"]["environment"]["API_UPSTREAMS"].split()
    assert upstreams == [f"recsvc-api-{n}:8000" for n in range(1, 5)]
    assert "reverse_proxy {$API_UPSTREAMS} {" in caddyfile
    assert "health_uri /readyz" in caddyfile


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_of_qdrant_asks_whether_it_is_ready(status: int, code: int):
    command = services()["qdrant"]["healthcheck"]["test"][1:]
    with answering(status) as port:
        assert run([word.replace("6333", str(port)) for word in command]).returncode == code


def test_the_first_api_key_is_made_once(tmp_path: Path):
    file = tmp_path / "keys.toml"
    command = services()["keys"]["command"]
    first = run(command, tmp_path, RECSVC_API_KEYS_FILE=str(file))
    assert re.fullmatch(r"rs_[\w-]{40,}\n", first.stdout), first.stderr
    again = run(command, tmp_path, RECSVC_API_KEYS_FILE=str(file))
    assert (again.returncode, again.stdout) == (0, "")
    (key,) = tomllib.loads(file.read_text())["keys"]
    assert set(key["scopes"]) == {"read", "write", "admin"}


def test_init_makes_a_key_each_time_and_never_changes_one(tmp_path: Path):
    made: list[Any] = []
    for place in (tmp_path / "one", tmp_path / "two"):
        shutil.copytree(DEPLOY, place / "deploy")
        assert run([str(place / "deploy" / "init")], place).returncode == 0
        assert (place / ".env").stat().st_mode & 0o777 == 0o600
        before = (place / ".env").read_text()
        assert run([str(place / "deploy" / "init")], place).returncode == 0
        assert (place / ".env").read_text() == before
        made.append(dotenv_values(place / ".env")["RECSVC_QDRANT_API_KEY"])
    assert made[0] != made[1]
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in made)


def test_the_page_is_short_and_the_files_that_it_names_are_there():
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert len(page.splitlines()) <= 120
    named = set(re.findall(r"\bdeploy/[\w./-]*\w", page))
    assert named
    assert [one for one in named if not (ROOT / one).exists()] == []
