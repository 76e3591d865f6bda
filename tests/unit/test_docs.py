"""The documents say what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from indexer.provider.choices import model_table
from indexer.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]


def test_the_configuration_page_and_the_events_schema_are_made_from_the_code():
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert made.returncode == 0, made.stderr


def test_every_setting_is_described():
    undescribed = [name for name, f in Settings.model_fields.items() if not f.description]
    assert undescribed == []


def test_the_example_of_a_models_file_is_accepted():
    settings = load_settings(models_file=ROOT / "docs" / "models.toml", _env_file=None)
    table = model_table(settings, {"HOLYSHEEP_API_KEY": "a-key"})
    assert [choice.provider for choice in table.choices["profile"]] == [
        "holysheep",
        "holysheep",
        "local",
    ]


def test_the_readme_is_short_and_runs_early():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("scripts/demo") for line in lines[:40])
    assert any(line.startswith("scripts/test") for line in lines[:40])
