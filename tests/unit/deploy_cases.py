"""Reads the files that users deploy with, as the tools that they are for do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
import yaml
from dotenv import dotenv_values

import indexer.__main__
import recsvc.__main__
from indexer.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
GRACE_LEAST_S = 40
"""Requests under way and a drain take up to 10 s each; and as much again."""

_VARIABLES = {f"RECSVC_{name.upper()}": name for name in Settings.model_fields}
_REFERENCE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")

Doc = dict[str, Any]


def run(command: list[str], cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the tests' programs first and little else in its environment."""
    variables = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(cwd), **env}
    return subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=60
    )


def accepted(environment: Mapping[str, str]) -> Settings:
    """Read the settings among the variables; one that is no setting is a `KeyError`."""
    named = {k: v for k, v in environment.items() if k.startswith("RECSVC_")}
    return load_settings(_env_file=None, **{_VARIABLES[k]: v for k, v in named.items()})


def unknown_options(command: list[str]) -> set[str]:
    """Return what a command line of ours has and its subcommand does not know."""
    app = {"recsvc": recsvc.__main__.app, "indexer": indexer.__main__.app}[command[0]]
    group: Any = typer.main.get_command(app)
    known = {option for param in group.commands[command[1]].params for option in param.opts}
    return {word for word in command if word.startswith("--")} - known


@cache
def compose(*env_names: str) -> Doc:
    """Read the compose file with the variables of env files filled in, as compose does."""
    files = [dotenv_values(DEPLOY / name) for name in (".env.example", *env_names)]
    env = {k: v for file in files for k, v in file.items() if v}
    env |= {"RECSVC_QDRANT_API_KEY": "as-deploy-init-does", "COMPOSE_PROJECT_NAME": "recsvc"}

    def fill(match: re.Match[str]) -> str:
        name, kind, word = match.groups()
        return env[name] if kind != "-" else env.get(name, word)

    text = _REFERENCE.sub(fill, (ROOT / "docker-compose.yml").read_text())
    doc: Doc = yaml.safe_load(text.replace("$$", "$"))
    return doc


def services(*env_names: str) -> dict[str, Doc]:
    """Return the services of the compose file."""
    found: dict[str, Doc] = compose(*env_names)["services"]
    return found


def dockerfile() -> list[list[tuple[str, str]]]:
    """Read the stages of the Dockerfile, each a list of (instruction, rest)."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").split("\n")
    pairs = [(name, rest) for line in lines if line for name, _, rest in [line.partition(" ")]]
    starts = [at for at, (name, _) in enumerate(pairs) if name == "FROM"]
    return [pairs[a:b] for a, b in zip(starts, [*starts[1:], len(pairs)], strict=True)]


def manifests(pattern: str = "*.yaml") -> list[Doc]:
    """Read all documents of the Kubernetes example, or those of some files."""
    files = sorted((DEPLOY / "kubernetes").glob(pattern))
    return [doc for file in files for doc in yaml.safe_load_all(file.read_text())]
