"""The console's files: complete, of this service alone, and fit to be looked at in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import recsvc.console

ROOT = Path(recsvc.console.__file__).parent
VENDOR = ROOT / "vendor"
OWN = sorted(
    path
    for path in ROOT.rglob("*")
    if path.suffix in {".js", ".css", ".html", ".svg"} and VENDOR not in path.parents
)
SCRIPTS = [path for path in OWN if path.suffix == ".js"]
INDEX = (ROOT / "index.html").read_text(encoding="utf-8")
MODULES = dict(re.findall(r'"([\w/-]+)": "\./console/([^"]+)"', INDEX))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_import_leads_to_a_file(path: Path):
    imports = re.findall(r'(?:from|import) "([^"]+)"', path.read_text(encoding="utf-8"))
    targets = [ROOT / MODULES[i] if i in MODULES else path.parent / i for i in imports]
    assert [target for target in targets if not target.is_file()] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_says_first_what_it_is(path: Path):
    assert path.read_text(encoding="utf-8").startswith("// ")


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path):
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w{2,}/", text) == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_files_are_tidy(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [n for n, line in enumerate(lines, 1) if line != line.rstrip() or "\t" in line] == []


def test_the_page_names_files_that_exist():
    named = re.findall(r'(?:src|href)="console/([^"]+)"', INDEX) + list(MODULES.values())
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_library_has_its_licence_and_its_line():
    told = (VENDOR / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in VENDOR.iterdir()} - {"README.md"}
    assert {name for name in files if f"`{name}`" not in told} == set()
    assert {name.split("-")[0].split(".")[0] for name in files} == {
        name.removesuffix(".LICENSE") for name in files if name.endswith(".LICENSE")
    }
