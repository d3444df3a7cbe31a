from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import sparsebench
from sparsebench.api import store_directory
from sparsebench.core.trial import Trial
from sparsebench.errors import SparsebenchError, StoreError
from sparsebench.run.options import Listener

SUITE = """
schema = 1
name = "tiny"

[trial]
dataset = "odd"
model = "odd"
topology = "odd"
optimizer = "odd"
backend = "odd"
trainer = "fine"
epochs = 3
batch_size = 4
threads = 1

[grid]
seed = [0, 1]
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(SUITE)
    return file


def test_a_suite_runs_and_comes_back_as_frames(suite_file: Path, tmp_path: Path) -> None:
    plugin = Path(__file__).parent / "odd_components.py"
    store = tmp_path / "store"
    run = sparsebench.run(suite_file, plugins=[plugin], store=store, settings={"epochs": 2})
    assert run.summary is not None
    assert run.summary.exit_code == 0
    assert run.store == store
    trials = run.trials()
    assert list(trials["status"]) == ["ok", "ok"]
    assert list(trials["seed"]) == [0, 1]
    assert list(trials["epochs"]) == [2, 2]
    assert trials["exact"].all()
    epochs = run.epochs()
    assert list(epochs["epoch"]) == [1, 2, 1, 2]
    assert (epochs["rss_bytes"] > 0).all()
    for loaded in (
        sparsebench.load_run(run.id, store),
        sparsebench.load_run("latest", store),
        sparsebench.load_run(store / "runs" / run.id),
        sparsebench.load_run(store),
    ):
        assert loaded.id == run.id
        assert loaded.records == run.records
    with pytest.raises(SparsebenchError, match="no report format 'pdf'"):
        run.report("pdf")


def test_limits_are_of_each_trial(suite_file: Path, tmp_path: Path) -> None:
    plugin = Path(__file__).parent / "odd_components.py"
    run = sparsebench.run(
        suite_file, plugins=[plugin], store=tmp_path / "store", seeds=[7], timeout="30m",
        memory_limit="2GiB",
    )  # fmt: skip
    [record] = run.records
    assert (record.trial.seed, record.trial.timeout) == (7, 1800.0)
    assert record.trial.memory_limit == 2**31


def test_the_default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARSEBENCH_STORE", raising=False)
    with pytest.raises(StoreError, match=r"no run 'latest' in .*\.sparsebench"):
        sparsebench.load_run()
    monkeypatch.setenv("SPARSEBENCH_STORE", str(tmp_path / "mine"))
    with pytest.raises(StoreError, match="mine"):
        sparsebench.load_run()


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_an_interrupted_run_raises_and_is_kept(
    suite_file: Path, tmp_path: Path, number: signal.Signals, raised: type[BaseException]
) -> None:
    class Impatient(Listener):
        def trial_started(self, trial: Trial, number_in_plan: int) -> None:
            os.kill(os.getpid(), number)

    plugin = Path(__file__).parent / "odd_components.py"
    with pytest.raises(raised) as caught:
        sparsebench.run(
            suite_file, plugins=[plugin], store=tmp_path / "store", listener=Impatient()
        )
    assert isinstance(caught.value, KeyboardInterrupt) or caught.value.code == 143
    [record] = sparsebench.load_run("latest", tmp_path / "store").records
    assert record.status == "interrupted"


def test_folders_may_be_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store_directory("~/mine") == tmp_path.resolve() / "mine"
    monkeypatch.setenv("SPARSEBENCH_STORE", "~/other")
    assert store_directory() == tmp_path.resolve() / "other"
