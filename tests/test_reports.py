"""The committed reports: their index is the generated one."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_index_of_the_reports_is_the_generated_one():
    index = runpy.run_path(str(ROOT / "docs" / "reports_index.py"))["index"]
    assert (ROOT / "reports" / "README.md").read_text() == index()


def test_the_lines_of_the_readme_are_the_generated_ones():
    with_lines = runpy.run_path(str(ROOT / "docs" / "reports_index.py"))["with_lines"]
    readme = (ROOT / "README.md").read_text()
    assert with_lines(readme) == readme


def test_no_report_names_a_place_of_the_machine():
    for file in (ROOT / "reports").glob("*/index.md"):
        assert "/tmp" not in file.read_text(), file
        assert "/home" not in file.read_text(), file
