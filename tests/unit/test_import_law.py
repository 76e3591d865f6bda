"""Imports point one way; the law is in pyproject.toml, where `scripts/check` reads it too."""

from __future__ import annotations

from pathlib import Path

from importlinter.application import use_cases
from importlinter.configuration import configure

ROOT = Path(__file__).parents[2]


configure()


def test_imports_point_one_way():
    law = str(ROOT / "pyproject.toml")
    assert use_cases.lint_imports(config_filename=law, cache_dir=None, no_logo=True)
