from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.core.worker import denormals, limits
from sparsebench.core.worker.denormals import flushed, flushes, flushing_to_zero
from sparsebench.discovery import load_plugins
from sparsebench.run import debug as debugging
from sparsebench.run.supervisor import Supervised

PLUGIN = Path(__file__).parent / "tiny_numbers.py"


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    plugins = load_plugins([PLUGIN])

    def make(backend: str, threads: int, trainer: str = "counts", **model: Any) -> Job:
        given = {
            "dataset": "noise",
            "model": {"name": "mlp", "hidden": [128], **model},
            "topology": {"name": "static", "density": 0.5},
            "optimizer": {"name": "sgd", "momentum": 0.9},
            "backend": backend,
            "trainer": trainer,
        }
        parts = {kind: plugins.validate(kind, value, kind) for kind, value in given.items()}
        trial = Trial(
            **parts, epochs=3, batch_size=32, threads=threads, seed=0, suite="tiny", axes={}
        )
        return Job(
            trial=trial,
            folder=tmp_path / f"{backend}-{threads}",
            data_dir=tmp_path,
            plugin_files=(PLUGIN,),
        )

    return make


def finish(job: Job) -> dict[str, Any]:
    trial = Supervised(job)
    while (outcome := trial.poll()) is None:
        time.sleep(0.01)
    assert outcome["status"] == "ok", outcome
    return dict(outcome)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", ["numba-csr", "scipy-csr", "dense-mask"])
def test_training_makes_zeros_where_it_would_make_denormals(
    make_job: Callable[..., Job], backend: str, threads: int
) -> None:
    given = make_job(backend, threads, activation="identity", init="tiny")
    outcome = finish(given)
    [counts] = outcome["layers"]
    assert counts == {"outputs": 0, "nonzero": 0, "weights": 0, "momentum": 0}
    pools = {"main": True, "blas": True}
    if backend == "numba-csr":
        pools["numba"] = True
    settings = outcome["settings"]
    assert {name: settings["flush_to_zero_in"][name] for name in pools} == pools
    assert settings["flush_to_zero"] is True
    assert "subnormal" not in (given.folder / "stderr.log").read_text()


def test_the_losses_are_the_same_bits_for_any_number_of_threads(
    make_job: Callable[..., Job],
) -> None:
    found = []
    for threads in (1, 2):
        given = make_job("numba-csr", threads, "sequential", activation="relu", dropout=0.2)
        finish(given)
        lines = (given.folder / "epochs.jsonl").read_text().splitlines()
        epochs = [json.loads(line) for line in lines]
        found.append([(epoch["train_loss"], epoch["test_loss"]) for epoch in epochs])
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_debug_flushes_for_a_while(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(debugging, "run", lambda *given: seen.append(flushes()) or {"settings": {}})
    debugging.run_here(make_job("scipy-csr", 1), lambda outcome: None)
    assert seen == [True]
    assert not flushes()


def test_only_the_warning_of_the_smallest_number_is_silenced() -> None:
    line = "The value of the smallest subnormal for <class 'numpy.float32'> type is zero."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with flushing_to_zero():
            warnings.warn_explicit(line, UserWarning, "x.py", 1, module="numpy._core.getlimits")
            with pytest.raises(UserWarning):
                warnings.warn_explicit(line, UserWarning, "x.py", 1, module="elsewhere")
            with pytest.raises(RuntimeWarning):
                warnings.warn_explicit("overflow", RuntimeWarning, "x.py", 1, module="numpy.x")
        with pytest.raises(UserWarning):
            warnings.warn_explicit(line, UserWarning, "x.py", 1, module="numpy._core.getlimits")


POOLS = """
import sys, json
from sparsebench.core.worker.denormals import flush_to_zero, flushed
if sys.argv[1] == "first":
    flush_to_zero()
import numpy as np
a = np.ones((300, 300), np.float32)
a @ a
from sparsebench.core.worker.denormals_kernel import numba_threads_flush
numba_threads_flush()
if sys.argv[1] == "late":
    flush_to_zero()
print(json.dumps(flushed()))
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
@pytest.mark.parametrize(
    ("when", "main", "pools"),
    [("first", True, True), ("late", True, False), ("never", False, False)],
)
def test_a_pool_that_does_not_flush_is_seen(
    monkeypatch: pytest.MonkeyPatch, layer: str, when: str, main: bool, pools: bool
) -> None:
    """A pool that was there before the setting goes on with denormals."""
    for name, value in {
        "NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": layer,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", POOLS, when], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {
        "flush_to_zero": main and pools,
        "flush_to_zero_in": {"main": main, "numba": pools, "blas": pools},
    }


def test_the_users_own_threading_layer_wins(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (limits.LAYER_CHOICE, limits.LAYER_PRIORITY):
        monkeypatch.delenv(name, raising=False)
    assert limits.environment(job("fine"))[limits.LAYER_PRIORITY] == "omp workqueue tbb"
    assert limits.expected_layer() in ("omp", "workqueue")
    monkeypatch.setenv(limits.LAYER_PRIORITY, "workqueue omp tbb")
    assert limits.LAYER_PRIORITY not in limits.environment(job("fine"))
    monkeypatch.setenv(limits.LAYER_CHOICE, "workqueue")
    assert limits.expected_layer() == "workqueue"


@pytest.mark.minutes
def test_a_trial_has_the_layer_that_is_expected(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (limits.LAYER_CHOICE, limits.LAYER_PRIORITY):
        monkeypatch.delenv(name, raising=False)
    given = make_job("numba-csr", 2, activation="identity", init="tiny")
    assert finish(given)["settings"]["threading_layer"] == limits.expected_layer()
    monkeypatch.setenv(limits.LAYER_CHOICE, "workqueue")
    assert finish(given)["settings"]["threading_layer"] == "workqueue"


@pytest.mark.parametrize("own", [None, "active"])
def test_threads_wait_passively_unless_the_user_says_otherwise(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    monkeypatch.delenv(limits.WAIT_POLICY, raising=False)
    if own is not None:
        monkeypatch.setenv(limits.WAIT_POLICY, own)
    outcome = finish(job("spikes", mib=1))
    assert outcome["settings"]["omp_wait_policy"] == (own or "passive")


def test_nothing_is_asked_of_what_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "numba"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(denormals, "POOLS", {"none there": lambda: None})
    assert flushed() == {"flush_to_zero": False, "flush_to_zero_in": {"main": False}}
