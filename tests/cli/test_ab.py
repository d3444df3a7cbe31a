"""`sparsebench ab` with real processes: this installation, commits, other environments."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_words import Cli, validate
from test_cli_light import HEAVY


def halves(folder: Path) -> tuple[str, str]:
    (found,) = (folder / ".sparsebench/ab").iterdir()
    return str(found / "base"), str(found / "head")


@pytest.mark.minutes
@pytest.mark.slow
def test_this_installation_against_itself(cli: Cli, folder: Path) -> None:
    """Every trial once on both sides, in stores of their own; the comparison can be had again."""
    words = ["--seeds", "0:1", "-k", "topology=set", "--rounds", "2", "--json"]
    done = cli("ab", ".", ".", "tiny.toml", *words)
    assert done.code == 0, done.err
    found = validate("compare", done.out)
    said = {one["metric"]: one["verdict"] for one in found["findings"]}
    assert said["stored_bytes"] == said["connections"] == "same"
    assert said["epoch_seconds"] == "cannot tell"
    turns = [line for line in done.err.splitlines() if line.startswith("[")]
    assert [line.rpartition(" ")[2] for line in turns] == ["BASE", "HEAD", "HEAD", "BASE"]
    for half in halves(folder):
        assert len(list(Path(half, "runs").iterdir())) == 2
        assert len(list(Path(half).glob("trials/*/*/*/outcome.json"))) == 2
    again = cli("compare", *halves(folder), "--json")
    assert (again.code, again.json["findings"]) == (0, found["findings"])


SUITE = """
schema = 1
name = "mine"
plugins = ["./mine.py"]
[trial]
dataset = "wine"
model = { hidden = [8] }
topology = { name = "mine", update_every = 2 }
backend = "scipy-csr"
epochs = 3
batch_size = 32
threads = 1
"""

MINE = """
import time
from dataclasses import dataclass

from sparsebench import hookimpl
from sparsebench_plugins.topologies.methods import SET


@dataclass(frozen=True)
class Mine(SET):
    def layer_updates(self, network):
        time.sleep({seconds})
        return super().layer_updates(network)


@hookimpl
def register_topologies(register):
    register("mine", Mine)
"""


def git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", *name, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def repository(folder: Path) -> Path:
    """A plugin whose second commit is much slower, and a suite that is in no commit."""
    git(folder, "init", "--quiet")
    for seconds in ("0", "0.2"):
        (folder / "mine.py").write_text(MINE.format(seconds=seconds))
        git(folder, "add", "mine.py")
        git(folder, "commit", "--quiet", "-m", f"sleeps {seconds} s")
    (folder / "mine.toml").write_text(SUITE)
    return folder


@pytest.mark.minutes
def test_a_slower_commit_is_found(cli: Cli, repository: Path) -> None:
    """The suite is as it is now on both sides; the plugin beside it is each commit's."""
    words = ["git:HEAD~1", "git:HEAD", "mine.toml", "--rounds", "2", "--min-seeds", "2"]
    done = cli("ab", *words)
    assert done.code == 3, done.out + done.err
    assert "epoch_seconds" in done.out.splitlines()[-1]
    commits = [git(repository, "rev-parse", rev).strip()[:12] for rev in ("HEAD~1", "HEAD")]
    found = cli("compare", *halves(repository), "--json").json
    assert [commit in found[side]["run"] for side, commit in zip(("base", "head"), commits)] == [
        True, True,
    ]  # fmt: skip
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert (repository / "mine.py").read_text() == MINE.format(seconds="0.2")


def environment_with(folder: Path, script: str) -> str:
    """What looks like a virtual environment: a folder with bin/python."""
    python = folder / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(script)
    python.chmod(0o755)
    return "env"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere", ".", "tiny.toml"], "BASE 'nowhere': expected a virtual environment"),
        ([".", "git:HEAD", "tiny.toml"], "HEAD 'git:HEAD': git rev-parse: "),
        ([".", ".", "no.toml"], "cannot run the suite: suite file 'no.toml' does not exist"),
        ([".", ".", "tiny.toml", "-k", "nothing"], "matches none of 4 trials"),
        ([".", ".", "tiny.toml", "--fail-if", "x:+5%"], "unknown metric 'x'"),
        ([".", ".", "tiny.toml", "--gates", "no.toml"], "no.toml: cannot be read"),
    ],
)
def test_a_mistake_is_one_line(cli: Cli, folder: Path, words: list[str], complaint: str) -> None:
    done = cli("ab", *words)
    assert done.code == (5 if "-k" in words else 2)
    assert complaint in done.err
    assert len(done.err.splitlines()) == 1
    assert not (folder / ".sparsebench/ab").exists()


def test_a_commit_that_is_not_there(cli: Cli, repository: Path) -> None:
    for rev in ("nix", "--help", "HEAD:mine.py"):
        done = cli("ab", ".", f"git:{rev}", "mine.toml")
        assert done.code == 2
        assert done.err == f"error: HEAD 'git:{rev}': no such commit here; is it fetched?\n"
    assert len(git(repository, "worktree", "list").splitlines()) == 1


PROBE = f"""
import contextlib, io, sys
from sparsebench.cli import main
code = 0
try:
    with contextlib.redirect_stdout(io.StringIO()):
        main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
print([name for name in {HEAVY} if name in sys.modules])
sys.exit(code)
"""


@pytest.mark.parametrize("words", ["ab . . no.toml", "baseline list"])
def test_nothing_heavy_is_imported_meanwhile(folder: Path, words: str) -> None:
    """The process that supervises both sides stays light, as `run` does."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words.split()],
        capture_output=True, text=True, timeout=60, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == (2 if words.startswith("ab") else 0), done.stderr
    assert done.stdout.strip() == "[]"


def test_an_environment_without_sparsebench(cli: Cli, folder: Path) -> None:
    env = environment_with(folder, "#!/bin/sh\necho 'No module named sparsebench' >&2; exit 1\n")
    done = cli("ab", env, ".", "tiny.toml")
    assert done.code == 2
    assert done.err == ("error: BASE (env) cannot run the suite: No module named sparsebench\n")


def test_an_environment_is_not_given_our_packages(cli: Cli, folder: Path) -> None:
    """Nor what speaks of the whole comparison."""
    seen = folder / "seen.json"
    script = (
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump(dict(os.environ), open({str(seen)!r}, 'w')); sys.exit('enough')\n"
    )
    env = environment_with(folder, script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", "/ours")
        patch.setenv("SPARSEBENCH_DATA", "data")
        patch.setenv("GITHUB_STEP_SUMMARY", "page.md")
        assert "enough" in cli("ab", env, ".", "tiny.toml").err
    found = json.loads(seen.read_text())
    assert not found.keys() & {"PYTHONPATH", "GITHUB_STEP_SUMMARY", "SPARSEBENCH_STORE"}
    assert found["SPARSEBENCH_DATA"] == str(folder / "data")


@pytest.mark.minutes
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle(cli: Cli, folder: Path, number: signal.Signals, code: int) -> None:
    """After the first pair: what is done can be compared; the trial under way has its record."""
    errors = folder / "errors.log"
    words = ["ab", ".", ".", "tiny.toml", "--seeds", "0:1", "-k", "topology=dense", "--rounds", "9"]
    with errors.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sparsebench", *words],
            stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            while "[2/18]" not in errors.read_text() and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(number)
            assert process.wait(timeout=100) == code, errors.read_text()
        finally:
            process.kill()
            process.wait()
    assert "stopped after 1 of 9 pairs; compare them: sparsebench compare " in errors.read_text()
    done = cli("compare", *halves(folder), "--json")
    assert done.code == 0, done.err
    assert {one["metric"]: one["n"] for one in done.json["findings"]}["stored_bytes"] == 1
    assert validate("compare", done.out)["pairs"] == {"complete": 1, "planned": 9}
    assert cli("compare", *halves(folder), "--strict").code == 6
