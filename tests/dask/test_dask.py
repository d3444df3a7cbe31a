"""Trials on a real Dask cluster on the loopback: a scheduler and two workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="needs distributed: sparsebench[dask]")

from clusters import FILES, Cluster, is_there, kill, running, wait_for, worker_of
from sparsebench_dask import cluster as connection
from sparsebench_dask import executor as dask_executor
from sparsebench_dask import remote_job

from sparsebench import registry
from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins
from sparsebench.run.options import Listener, Options
from sparsebench.run.session import run_trials
from sparsebench.store.record import Record
from sparsebench.store.store import Store
from sparsebench.suite.expand import expand
from sparsebench.suite.suite import Suite

MakeTrial = Callable[..., Trial]

WINE = {
    "dataset": "wine", "model": {"hidden": [8]}, "topology": {"name": "set", "epsilon": 3},
    "backend": "scipy-csr", "epochs": 1, "threads": 1,
}  # fmt: skip


@pytest.fixture
def there(cluster: Cluster, options: Options) -> Options:
    return replace(options, address=cluster.address)


def statuses(records: list[Record]) -> list[str]:
    return [str(record.status) for record in records]


# --- what a trial is there, it is here -------------------------------------------------------


def test_a_trial_is_the_same_as_on_this_machine(
    cluster: Cluster, plugins: Plugins, there: Options, tmp_path: Path
) -> None:
    suite = Suite(name="wine", trial=WINE, grid={"seed": [0, 1]}, text="name = 'wine'\n")
    trials = expand(suite, plugins, data_dir=there.data_dir)
    listener = Heard()
    away = run_trials(suite, trials, plugins, replace(there, audit=False), listener)
    assert statuses(away.records) == ["ok", "ok"], [r.detail for r in away.records]
    assert away.exit_code == 0
    local = replace(there, executor="local", address=None, store=tmp_path / "b", audit=False)
    here = run_trials(suite, trials, plugins, local)
    for one, other in zip(away.records, here.records, strict=True):
        assert one.measures["test_accuracy"] == other.measures["test_accuracy"]
        assert one.measures.keys() == other.measures.keys()
        assert one.data_fingerprint == other.data_fingerprint
        assert one.fingerprint["versions"] == other.fingerprint["versions"]
        assert one.machine == other.machine
        folders = [Store(o.store).folder(one) for o in (there, local)]
        names = [sorted(file.name for file in folder.iterdir()) for folder in folders]
        assert names[0] == names[1]
        assert (folders[0] / "epochs.jsonl").read_text().count("\n") == 1
        assert one.settings["cores"] is None
    assert [record.contended for record in away.records] == [True, True]
    assert not listener.compiled
    manifest = Store(there.store).run("latest").manifest
    assert (manifest["executor"], manifest["address"]) == ("dask", "tcp://")
    assert cluster.address not in json.dumps(manifest)
    again = run_trials(suite, trials, plugins, there)
    assert (again.reused, again.exit_code) == (2, 0)


class Heard(Listener):
    def __init__(self) -> None:
        self.compiled = False
        self.seen: list[Mapping[str, Any]] = []

    def compiling(self, names: Any) -> None:
        self.compiled = True

    def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
        self.seen.append(state)


def test_plugin_files_travel_and_limits_hold(
    odd: Plugins, suite: Suite, there: Options, trial: MakeTrial
) -> None:
    trials = [
        trial("raises"),
        trial("dies", how="SIGSEGV"),
        trial("stays", timeout=2.5),
        trial("tells", memory_limit=2**30),
        trial("greedy", memory_limit=2**28),
    ]
    listener = Heard()
    done = run_trials(suite, trials, odd, there, listener)
    assert statuses(done.records) == ["error", "crashed", "timeout", "ok", "out-of-memory"]
    seen = done.records[3].layers[0]
    assert seen["data_limit"] == 2**30
    assert "MALLOC_TRIM_THRESHOLD_" not in seen
    assert seen["leads_session"]
    assert done.records[0].log_tail.endswith("the last line")
    assert any("rss_bytes" in state for state in listener.seen)


def test_a_checkpoint_comes_back_and_goes_there(
    cluster: Cluster, plugins: Plugins, tmp_path: Path
) -> None:
    given = {**WINE, "epochs": 1_000_000, "checkpoint": 0.2}
    suite = Suite(name="wine", trial=given)
    (one,) = expand(suite, plugins, data_dir=tmp_path)
    executor = dask_executor.Dask(address=cluster.address)
    try:
        first = attempt(executor, Job(trial=one, folder=tmp_path / "1", data_dir=tmp_path))
        assert first["status"] == "interrupted", first["detail"]
        kept = tmp_path / "1" / "checkpoint.npz"
        job = Job(trial=one, folder=tmp_path / "2", data_dir=tmp_path, resume_from=kept)
        second = attempt(executor, job)
        assert second["status"] == "interrupted", second["detail"]
    finally:
        executor.close()
    # the checkpoint has what the first attempt reported, measured seconds among it
    earlier, later = (losses_of(tmp_path / number / "epochs.jsonl") for number in "12")
    assert later[0] == earlier[0]
    assert len(later) > 1


def losses_of(file: Path) -> list[tuple[float, float]]:
    epochs = [json.loads(line) for line in file.read_text().splitlines()]
    return [(epoch["train_seconds"], epoch["train_loss"]) for epoch in epochs]


def attempt(executor: dask_executor.Dask, job: Job) -> Mapping[str, Any]:
    """Stopped once it has come some way, by TERM."""
    handle = executor.submit(job)
    wait_for(lambda: handle.progress().get("epoch", 0) > 1 or handle.poll() is not None)
    handle.stop()
    wait_for(lambda: handle.poll() is not None)
    outcome = handle.poll()
    assert outcome is not None
    return outcome


# --- what is not the same is refused -----------------------------------------------------------


def test_another_version_is_refused(
    odd: Plugins, suite: Suite, there: Options, trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = remote_job.required_versions()
    monkeypatch.setattr(
        remote_job, "required_versions", lambda: {**real, "numpy": "0.1", "python": "2.7"}
    )
    done = run_trials(suite, [trial("fine")], odd, there)
    assert (statuses(done.records), done.exit_code) == (["skipped"], 5)
    detail = done.records[0].detail
    assert detail.startswith("worker worker-")
    python = ".".join(map(str, sys.version_info[:2]))
    assert f"python {python} there, 2.7 here, numpy {real['numpy']} there, 0.1 here" in detail


def test_other_code_is_refused(
    odd: Plugins, suite: Suite, there: Options, trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = remote_job.code
    monkeypatch.setattr(
        remote_job, "code", lambda *given: {**real(*given), "code": "0123456789abcdef"}
    )
    (record,) = run_trials(suite, [trial("fine")], odd, there).records
    assert record.status == "skipped"
    assert "the sources of sparsebench or of a plugin differ" in record.detail
    assert "0123456789ab here" in record.detail


def test_other_data_is_refused(plugins: Plugins, suite: Suite, there: Options) -> None:
    (one,) = expand(replace(suite, trial=WINE), plugins, data_dir=there.data_dir)
    other = replace(one, data={"sha256": "0" * 64})
    (record,) = run_trials(suite, [other], plugins, replace(there, audit=False)).records
    assert record.status == "skipped"
    assert f"data set 'wine' is another: {one.data} there, {other.data} here" in record.detail
    assert record.machine == {}


def test_a_trial_that_no_worker_can_take(
    cluster: Cluster, odd: Plugins, suite: Suite, there: Options, trial: MakeTrial
) -> None:
    trials = [trial("fine", threads=7), trial("fine", memory_limit=10**13), trial("fine", seed=1)]
    done = run_trials(suite, trials, odd, there)
    assert statuses(done.records) == ["skipped", "skipped", "ok"]
    assert done.records[0].detail.startswith("it takes 7 cores, and no Dask worker has that")
    command = f"dask worker {cluster.address} --nworkers 1 --nthreads 1 --resources 'cores="
    assert f"{command}7,memory=BYTES'" in done.records[0].detail
    assert f"{command}1,memory={10**13}'" in done.records[1].detail


# --- what dies -------------------------------------------------------------------------------


def test_a_worker_that_dies_ends_the_attempt_and_retries_decide(
    odd: Plugins, suite: Suite, there: Options, trial: MakeTrial, tmp_path: Path
) -> None:
    class Killer(Listener):
        def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
            if not pids and (tmp_path / "1").exists():
                pids.append(int((tmp_path / "1").read_text()))
                pids.append(worker_of(pids[0]))
                kill(pids[1])

    pids: list[int] = []
    given = trial("patient", folder=str(tmp_path), retries=1)
    done = run_trials(suite, [given], odd, there, Killer())
    assert statuses(done.records) == ["ok"]
    first, second = Store(there.store).records(given.id)
    assert (str(first.status), first.cause, first.attempt) == ("killed", "worker lost", 1)
    assert first.detail.startswith("Dask worker worker-")
    assert first.detail.endswith("was gone before the trial ended")
    assert (str(second.status), second.attempt) == ("ok", 2)
    wait_for(lambda: not is_there(pids[0]))
    assert sorted(file.name for file in tmp_path.glob("[0-9]")) == ["1"]


@pytest.mark.minutes
def test_a_worker_that_dies_without_retries_is_not_started_again(
    odd: Plugins, suite: Suite, there: Options, trial: MakeTrial, tmp_path: Path
) -> None:
    class Killer(Listener):
        def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
            if not killed and (tmp_path / "1").exists():
                killed.append(worker_of(int((tmp_path / "1").read_text())))
                kill(killed[0])

    killed: list[int] = []
    given = trial("patient", folder=str(tmp_path), times=9)
    trials = [given, trial("stays", timeout=6.0)]
    done = run_trials(suite, trials, odd, there, Killer())
    assert statuses(done.records) == ["killed", "timeout"]
    assert done.exit_code == 1
    assert [file.name for file in tmp_path.glob("[0-9]")] == ["1"]


SUITE = """
schema = 1
name = "patience"
[trial]
dataset = "odd"
model = "odd"
topology = "odd"
optimizer = "odd"
backend = "odd"
threads = 1
epochs = 1
[grid]
trainer = ["fine", { name = "patient", folder = "FOLDER" }]
"""


def start(cluster: Cluster, folder: Path) -> subprocess.Popen[str]:
    (folder / "patience.toml").write_text(SUITE.replace("FOLDER", str(folder)))
    plugins = [word for file in FILES for word in ("--plugin", str(file))]
    words = ["run", "patience.toml", "--executor", "dask", "--address", cluster.address, *plugins]
    return subprocess.Popen(
        [sys.executable, "-m", "sparsebench", *words], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "SPARSEBENCH_STORE": str(folder / "store")},
    )  # fmt: skip


def has_one(store: Path) -> bool:
    return bool(list(store.glob("trials/*/*/*/outcome.json")))


def test_ctrl_c_ends_remote_trials(cluster: Cluster, tmp_path: Path) -> None:
    process = start(cluster, tmp_path)
    try:
        wait_for((tmp_path / "1").exists)
        wait_for(lambda: has_one(tmp_path / "store"))
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert statuses(Store(tmp_path / "store").run("latest").records) == ["ok", "interrupted"]
    assert not is_there(int((tmp_path / "1").read_text()))


@pytest.mark.minutes
def test_a_caller_that_is_killed_leaves_no_trial_and_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    process = start(cluster, tmp_path)
    wait_for((tmp_path / "1").exists)
    wait_for(lambda: has_one(tmp_path / "store"))
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not is_there(int((tmp_path / "1").read_text())))
    process = start(cluster, tmp_path)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "2 records, 1 of them reused" in err


@pytest.mark.minutes
def test_a_scheduler_that_dies(tmp_path: Path) -> None:
    with running(tmp_path / "first", 2) as first:
        process = start(first, tmp_path)
        try:
            wait_for((tmp_path / "1").exists)
            wait_for(lambda: has_one(tmp_path / "store"))
            first.scheduler.kill()
            _out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 2, err
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        assert line.startswith(f"error: the Dask scheduler at {first.address} is gone; ")
        assert "Traceback" not in err
        records = Store(tmp_path / "store").run("latest").records
        assert statuses(records) == ["ok", "interrupted"]
        assert records[1].detail == "the Dask scheduler was gone before it ended"
        wait_for(lambda: not is_there(int((tmp_path / "1").read_text())))


# --- who answers -----------------------------------------------------------------------------


def test_nobody_answers(
    odd: Plugins, suite: Suite, options: Options, trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://127.0.0.1:9", "tcp://no-such-host.invalid:9"):
        with pytest.raises(SparsebenchError, match=f"no Dask scheduler answers at {address}: "):
            run_trials(suite, [trial("fine")], odd, replace(options, address=address))
    assert not options.store.exists()


def test_workers_without_resources(
    odd: Plugins, suite: Suite, options: Options, trial: MakeTrial
) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, processes=False, protocol="tcp", threads_per_worker=1,
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
    ) as plain:  # fmt: skip
        address = plain.scheduler_address
        with pytest.raises(SparsebenchError) as caught:
            run_trials(suite, [trial("fine")], odd, replace(options, address=address))
    assert str(caught.value) == (
        f"the Dask scheduler at {address} has 1 workers, but none with the resources 'cores' and "
        f"'memory'; start one with: dask worker {address} --nworkers 1 --nthreads 1 "
        "--resources 'cores=N,memory=BYTES'"
    )


def test_without_the_extra_there_is_a_line(
    odd: Plugins, suite: Suite, options: Options, trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "is_installed", lambda module: module != "distributed")
    line = r"executor 'dask' is not available: .*pip install 'sparsebench\[dask\]'"
    with pytest.raises(SparsebenchError, match=line):
        run_trials(suite, [trial("fine")], odd, options)


def test_a_cluster_on_this_machine(
    odd: Plugins, suite: Suite, options: Options, trial: MakeTrial
) -> None:
    trials = [trial("fine", seed=seed) for seed in (0, 1)]
    done = run_trials(suite, trials, odd, options)
    assert statuses(done.records) == ["ok", "ok"]
    assert [record.contended for record in done.records] == [False, False]
    assert "address" not in Store(options.store).run("latest").manifest
    with pytest.raises(SparsebenchError, match="4096 workers need a core each; this machine has"):
        run_trials(suite, trials, odd, replace(options, jobs=4096))


def test_listing_the_executor_imports_no_dask() -> None:
    code = (
        "import sys; from sparsebench.discovery import load_plugins\n"
        "load_plugins().entry('executor', 'dask').parameters()\n"
        "print([name for name in ('distributed', 'dask', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "dask" in [entry.name for entry in load_plugins()["executor"]]
