"""What runs in other people's CI, run here: the script, and the action's own step."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "ci" / "compare.sh"

SUITE = """
schema = 1
name = "tiny"
[trial]
dataset = "wine"
model = { hidden = [8] }
topology = { name = "set", epsilon = 3 }
backend = "scipy-csr"
epochs = 1
threads = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of one commit, with a suite."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a suite"]):
        name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True)
    return tmp_path


def script(
    folder: Path, command: str = f"bash {SCRIPT}", **variables: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPARSEBENCH_ST", "GITHUB_"))}
    given = {
        "SPARSEBENCH": f"{sys.executable} -m sparsebench",
        "GITHUB_OUTPUT": str(folder / "github-output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "GITHUB_ACTION_PATH": str(ROOT),
        "SUITE": "tiny.toml",
    }
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env={**kept, **given, **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def baseline_of(folder: Path) -> dict[str, Any]:
    """The content of base.json, of a run of the suite."""
    for words in (
        ["run", "tiny.toml", "--no-plan"],
        ["baseline", "set", "latest", "x", "-o", "base.json"],
    ):
        subprocess.run(
            [sys.executable, "-m", "sparsebench", *words],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    found: dict[str, Any] = json.loads((folder / "base.json").read_text())
    return found


@pytest.mark.minutes
def test_against_a_baseline(folder: Path) -> None:
    """The same code passes; with a byte more than the baseline has, the gate fails."""
    data = baseline_of(folder)
    done = script(folder, BASELINE="base.json", ARGS="--no-plan -k 'scipy-csr and seed=0'")
    assert done.returncode == 0, done.stderr
    out = folder / "sparsebench-ci"
    assert (out / "comment.md").read_text().startswith("<!-- sparsebench -->\n### sparsebench")
    assert done.stdout == (out / "comment.md").read_text()
    assert (folder / "summary.md").read_text() in done.stdout
    assert json.loads((out / "comparison.json").read_text())["exit_code"] == 0
    outputs = dict(line.split("=") for line in (folder / "github-output").read_text().splitlines())
    assert outputs["exit-code"] == (out / "exit-code").read_text().strip() == "0"
    assert (folder / outputs["junit"]).is_file()

    data["cells"][0]["trials"][0]["measures"]["stored_bytes"] -= 1
    (folder / "base.json").write_text(json.dumps(data))
    done = script(folder, BASELINE="base.json", ARGS="--no-plan", OUTPUT="again")
    assert done.returncode == 3, done.stderr
    assert "FAILED: 1 finding beyond a gate" in done.stdout
    root = ElementTree.parse(folder / "again/junit.xml").getroot()
    assert len(list(root.iter("failure"))) == 1

    (folder / "gates.toml").write_text('defaults = false\n[gates.net_peak_bytes]\nfloor = "1B"\n')
    undecided = {"BASELINE": "base.json", "GATES": "gates.toml", "ARGS": "--no-plan"}
    assert script(folder, **undecided).returncode == 0
    assert script(folder, **undecided, INCONCLUSIVE="fail").returncode == 6


@pytest.mark.minutes
def test_against_a_commit_as_the_action_does(folder: Path) -> None:
    done = script(
        folder, step("Run and compare")["run"], BASE="HEAD", ROUNDS="1", INCONCLUSIVE="pass",
        ARGS="", GATES="", BASELINE="",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "sparsebench-ci/comparison.json").read_text())
    assert found["base"]["run"].startswith("git:HEAD (")
    assert found["counts"]["same"] == 3
    assert "1 pair in turn" in (folder / "sparsebench-ci/comment.md").read_text()


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"SUITE": "", "BASE": "HEAD"}, "SUITE: give a suite to run"),
        ({}, "give BASE (a commit) or BASELINE (a file)"),
        ({"BASE": "HEAD", "BASELINE": "b.json"}, "not both"),
        ({"BASE": "nix"}, "no commit nix here; fetch it first"),
        ({"BASELINE": "b.json"}, "no file b.json"),
        ({"BASE": "HEAD", "INCONCLUSIVE": "maybe"}, "INCONCLUSIVE: pass or fail"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, variables: dict[str, str], complaint: str) -> None:
    done = script(folder, **variables)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_suite_that_cannot_run_ends_it(folder: Path) -> None:
    done = script(folder, SUITE="no.toml", BASE="HEAD")
    assert done.returncode == 2
    assert "suite file 'no.toml' does not exist" in done.stderr
    assert not (folder / "sparsebench-ci/comment.md").exists()


# --- the YAML ------------------------------------------------------------------------


def read(name: str) -> Any:
    yaml = pytest.importorskip("yaml")  # it comes with bokeh
    return yaml.safe_load((ROOT / name).read_text())


def step(name: str) -> Any:
    (found,) = [one for one in read("action.yml")["runs"]["steps"] if one.get("name") == name]
    return found


def test_the_action_hands_every_input_on() -> None:
    action = read("action.yml")
    text = (ROOT / "action.yml").read_text()
    assert action["runs"]["using"] == "composite"
    for name in action["inputs"]:
        assert f"inputs.{name}" in text.partition("\nruns:")[2]
    for one in action["runs"]["steps"]:
        if "run" in one:
            assert one["shell"] == "bash"
            assert "${{" not in one["run"]  # what strangers wrote comes as a variable, not as code
    variables = set(step("Run and compare")["env"])
    documented = set(re.findall(r"^#   ([A-Z]+) ", SCRIPT.read_text(), re.MULTILINE))
    assert variables == documented - {"OUTPUT", "SPARSEBENCH"}
    outputs = re.findall(r'echo "([a-z-]+)=', SCRIPT.read_text())
    assert set(action["outputs"]) == set(outputs)


def test_the_workflow_uses_the_action_as_it_is() -> None:
    workflow = read(".github/workflows/sparsebench.yml")
    (job,) = workflow["jobs"].values()
    (used,) = [one for one in job["steps"] if one.get("uses") == "./"]
    action = read("action.yml")
    assert set(used["with"]) <= set(action["inputs"])
    (checkout,) = [one for one in job["steps"] if "checkout" in one.get("uses", "")]
    assert checkout["with"]["fetch-depth"] == 0
    for one in job["steps"]:
        assert "${{" not in one.get("run", "")
        for output in re.findall(r"outputs\.([a-z-]+)", json.dumps(one)):
            assert output in action["outputs"]


def test_the_workflow_selects_trials() -> None:
    (job,) = read(".github/workflows/sparsebench.yml")["jobs"].values()
    (given,) = [one["with"] for one in job["steps"] if one.get("uses") == "./"]
    words = ["plan", given["suite"], *shlex.split(given.get("args", "")), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "sparsebench", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["trials"]) == 10


def test_docs_show_what_is_there() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    yaml = pytest.importorskip("yaml")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        yaml.safe_load(block)
    for name in read("action.yml")["inputs"]:
        assert f"`{name}`" in page
    for name in re.findall(r"^#   ([A-Z]+) ", SCRIPT.read_text(), re.MULTILINE):
        assert f"`{name}`" in page


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == ""
