"""What travels: the suites are found from any folder, by a wheel and by an editable install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUITES = [file.stem for file in sorted((ROOT / "suites").glob("*.toml"))]


def listed(folder: Path, **environment: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "sparsebench", "ls", "suites", "--json"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    rows: list[dict[str, str]] = json.loads(done.stdout)
    return rows


def test_suites_of_this_install_are_found_from_another_folder(tmp_path):
    assert [row["suite"] for row in listed(tmp_path)] == SUITES


def test_a_wheel_carries_the_suites_and_the_templates(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    templates = unpacked / "sparsebench" / "report" / "html" / "templates"
    assert {file.name for file in templates.iterdir()} == {
        "page.html.jinja", "page.css", "page.js", "explore.js",
    }  # fmt: skip
    rows = listed(tmp_path, PYTHONPATH=str(unpacked))
    assert [row["suite"] for row in rows] == SUITES
    assert all(Path(row["path"]).is_relative_to(unpacked) for row in rows)
