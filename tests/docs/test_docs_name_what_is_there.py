"""The documentation names files, commands, keys and codes that exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from sparsebench.cli import EXIT_CODES
from sparsebench.core.status import Status
from sparsebench.suite.defaults import DEFAULT_NAMES, TrialValues
from sparsebench.suite.keys import TRIAL_KEYS
from sparsebench.suite.suite import SuiteFile

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*DOCS.glob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
PLACES = "sparsebench|plugins|tests|docs|suites|benchmarks|reports|examples|ci|.github"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{PLACES})/[A-Za-z0-9_./-]*)`", page.read_text())
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not link.startswith("http") and not link.startswith("reference/"):
            assert (page.parent / link).exists(), link


def test_every_page_is_in_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for page in DOCS.glob("*.md"):
        assert f": {page.name}\n" in text


def test_the_glossary_is_sorted_and_its_words_are_used() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)[1:]
    assert rows == sorted(rows, key=str.lower)
    others = [page for page in PAGES if page.name != "glossary.md"]
    others.append(ROOT / "plugins" / "README.md")
    text = " ".join(page.read_text() for page in others).lower()
    for row in rows:
        for word in re.sub(r"\(.*?\)", "", row).split(", "):
            assert word.strip().lower() in text, word


def test_exit_codes_and_statuses_are_explained() -> None:
    page = (DOCS / "reading-a-report.md").read_text()
    codes = page.partition("## Exit codes")[2]
    for code in EXIT_CODES:
        assert re.search(rf"^\| ([\d, ]*, )?{code}(, \d+)? \|", codes, re.MULTILINE), code
    for status in Status:
        assert f"| `{status}` |" in page


def rows_of(heading: str) -> dict[str, str]:
    """Key and last cell of the table below a heading of suites.md; keys without brackets."""
    page = (DOCS / "suites.md").read_text().partition(f"\n## {heading}\n")[2]
    rows = {}
    for line in page.partition("\n## ")[0].splitlines():
        if line.startswith("| `"):
            first, *_, last = line.strip("| ").split(" | ")
            rows |= {re.sub(r"[][]|\.NAME", "", key): last for key in re.findall("`(.+?)`", first)}
    return rows


def test_every_key_of_a_suite_is_explained() -> None:
    keys = TypeAdapter(SuiteFile).json_schema()["properties"]
    assert sorted(rows_of("Keys of a suite")) == sorted(keys)


def test_every_key_of_a_trial_is_explained_with_its_default() -> None:
    rows = rows_of("Keys of a trial")
    assert sorted(rows) == sorted(TRIAL_KEYS)
    plain = {field.name: field.default for field in dataclasses.fields(TrialValues)}
    for key, default in {**plain, **DEFAULT_NAMES}.items():
        if isinstance(default, str | int | float):
            shown = str(default).lower().removesuffix(".0")
            assert rows[key].strip("`").startswith(shown), key


def test_no_page_of_html_is_kept() -> None:
    """A page is 2 MB of somebody else's script: `report -o index.html` writes it again."""
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "reports/**/*.html" in ignored


def test_the_workflows_are_well_formed() -> None:
    yaml = pytest.importorskip("yaml")
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(file.read_text())
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] > 0
            assert job["steps"]
