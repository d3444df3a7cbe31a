"""The command, `sparsebench.run()` and pytest read the same options alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparsebench
from sparsebench.cli import main
from sparsebench.errors import NothingMatched, SparsebenchError
from sparsebench.run.request import RunRequest, resolve

SUITE = """
schema = 1
name = "tiny"
[trial]
dataset = "wine"
model = { hidden = [8] }
backend = "scipy-csr"
epochs = 2
[grid]
topology = ["dense", { name = "set", epsilon = 3 }]
seed = [0, 1]
"""


@pytest.fixture(autouse=True)
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the current directory, with no environment and no config.toml."""
    for name in ("STORE", "DATA", "JOBS", "EXECUTOR", "ADDRESS", "THREADS", "TIMEOUT",
                 "MEMORY_LIMIT"):  # fmt: skip
        monkeypatch.delenv(f"SPARSEBENCH_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(SUITE)


def config(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config" / "sparsebench" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def trials_of_the_command(*words: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    with pytest.raises(SystemExit):
        main(["run", "tiny.toml", "--dry-run", "--json", *words])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["trials"]
    return found


def trials_of_the_function(monkeypatch: pytest.MonkeyPatch, **given: Any) -> RunRequest:
    """What `sparsebench.run` would run."""
    seen: list[RunRequest] = []

    def stop(suite: Any, trials: Any, plugins: Any, options: Any, listener: Any) -> None:
        seen.append(RunRequest(suite, plugins, trials, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("sparsebench.api.run_trials", stop)
    with pytest.raises(KeyboardInterrupt):
        sparsebench.run("tiny.toml", **given)
    return seen[0]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {}),
        (["-k", "set and seed=1"], {"select": "set and seed=1"}),
        (["-k", "dense"], {"k": "dense"}),
        (["--set", "epochs=5", "--seeds", "0:3"], {"settings": {"epochs": 5}, "seeds": range(3)}),
        (["--set", "epochs=5", "--seeds", "0:3"], {"settings": "epochs=5", "seeds": "0:3"}),
        (["--timeout", "1h", "--threads", "3"], {"timeout": 3600, "threads": np.int64(3)}),
        (["--shard", "2/3"], {"shard": "2/3"}),
    ],
)
def test_the_command_and_the_function_run_the_same_trials(
    words: list[str], given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    config(tmp_path, f"store = '{tmp_path}/kept'\njobs = 3\nthreads = 1\ntimeout = '9m'\n")
    monkeypatch.setenv("SPARSEBENCH_MEMORY_LIMIT", "3GiB")
    monkeypatch.setenv("SPARSEBENCH_TIMEOUT", "7m")
    command = trials_of_the_command(*words, capsys=capsys)
    request = trials_of_the_function(monkeypatch, **given)
    assert [one["id"] for one in command] == [trial.id for trial in request.trials]
    assert [one["memory_limit"] for one in command] == [t.memory_limit for t in request.trials]
    assert [one["timeout"] for one in command] == [trial.timeout for trial in request.trials]
    assert request.trials[0].timeout == (3600 if "--timeout" in words else 420)
    assert [one["threads"] for one in command] == [trial.threads for trial in request.trials]
    assert (request.options.store, request.options.jobs) == (tmp_path / "kept", 3)


def test_arguments_win_over_variables_and_these_over_the_suite_and_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def threads(**given: Any) -> int:
        return resolve("tiny.toml", seeds=0, **given).trials[0].threads

    config(tmp_path, "threads = 9\njobs = 9\nexecutor = 'local'\n")
    assert threads() == 9
    (tmp_path / "tiny.toml").write_text(SUITE.replace("epochs = 2", "epochs = 2\nthreads = 8"))
    assert threads() == 8
    monkeypatch.setenv("SPARSEBENCH_THREADS", "7")
    monkeypatch.setenv("SPARSEBENCH_JOBS", "7")
    assert threads() == 7
    assert threads(threads=6) == 6
    assert threads(threads=6, settings={"threads": 5}) == 5
    assert resolve("tiny.toml").options.jobs == 7
    assert resolve("tiny.toml", jobs=2).options.jobs == 2
    monkeypatch.setenv("SPARSEBENCH_JOBS", "some")
    with pytest.raises(SparsebenchError, match="SPARSEBENCH_JOBS: expected a whole number from 1"):
        resolve("tiny.toml")


@pytest.mark.parametrize("given", [3, "3", [3], np.array([3]), np.int64(3), (np.int32(3),)])
def test_one_seed(given: Any) -> None:
    assert {trial.seed for trial in resolve("tiny.toml", seeds=given).trials} == {3}


def test_numpy_numbers_are_taken() -> None:
    found = resolve("tiny.toml", seeds=np.arange(5), settings={
        "optimizer.learning_rate": np.logspace(-3, -1, 3)[1],
        "model.hidden": np.array([4, 5]),
        "epochs": np.int64(3),
        "validation": np.float32(0.25),
    })  # fmt: skip
    assert [trial.seed for trial in found.trials] == [0, 1, 2, 3, 4] * 2
    trial = found.trials[0]
    assert trial.optimizer["learning_rate"] == pytest.approx(0.01)
    assert (trial.model["hidden"], trial.epochs, trial.validation) == ([4, 5], 3, 0.25)
    assert all(type(trial.seed) is int for trial in found.trials)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"seeds": "abc"}, "--seeds: expected a range 0:5 or a list 0,3,7; found 'abc'"),
        ({"seeds": []}, "--seeds: found an empty list"),
        ({"seeds": 0.5}, "--seeds: expected numbers or a text such as '0:5', found 0.5"),
        ({"seeds": [0.5]}, "seed[0]: expected a whole number from 0, found 0.5"),
        ({"seeds": True}, "--seeds: expected numbers"),
        ({"settings": "epochs"}, "--set: expected path=value, found 'epochs'"),
        ({"plugins": "no.py"}, "no.py does not exist"),
        ({"plugins": [""]}, "expected a plugin, found ''"),
        ({"jobs": 0}, "jobs: expected a whole number from 1, found 0"),
        ({"timeout": "soon"}, "--timeout: expected a duration"),
        ({"threads": 0}, "threads: expected a whole number from 1, found 0"),
        ({"rerun": "some"}, "rerun: expected failed or all, found 'some'"),
        ({"store": ""}, "expected a store, found ''"),
    ],
)
def test_a_mistake_is_one_line(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SparsebenchError) as caught:
        sparsebench.run("tiny.toml", **given)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("empty", ["", " ", Path()])
def test_an_empty_name_is_no_suite_run_or_store(empty: Any) -> None:
    for call in (sparsebench.run, sparsebench.load_run):
        with pytest.raises(SparsebenchError, match=r"expected a (suite|run), found"):
            call(empty)
    with pytest.raises(SparsebenchError, match="expected a run, found"):
        sparsebench.compare(empty, "latest")


def test_a_plugin_may_be_one_text(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from sparsebench import hookimpl\n@hookimpl\ndef register_suites(add_folder): pass\n"
    )
    for given in ("mine.py", Path("mine.py"), ["mine.py"]):
        assert resolve("tiny.toml", plugins=given).plugins.files == (plugin,)


@pytest.mark.parametrize("least", [1, 0, "5", 2.5, True])
def test_too_few_seeds_are_refused(least: Any) -> None:
    with pytest.raises(SparsebenchError, match="min_seeds: expected a whole number from 2"):
        sparsebench.compare("latest", "latest", min_seeds=least)


def test_a_selection_of_nothing() -> None:
    with pytest.raises(NothingMatched, match="-k 'nowhere' matches none of 4 trials"):
        sparsebench.run("tiny.toml", k="nowhere")
    with pytest.raises(SparsebenchError, match="give either"):
        sparsebench.run("tiny.toml", k="set", select="set")
