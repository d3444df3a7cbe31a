from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.job import Job
from sparsebench.cores_and_threads import usable_cores
from sparsebench.errors import StoreError
from sparsebench.run.supervisor import Supervised
from sparsebench.store.record import Record

MIB = 2**20

MakeJob = Callable[..., Job]


def finish(job: Job, grace: float = 0.3) -> dict[str, Any]:
    trial = Supervised(job, grace=grace)
    return wait(trial)


def wait(trial: Supervised) -> dict[str, Any]:
    while (outcome := trial.poll()) is None:
        time.sleep(0.01)
    assert trial.poll() is outcome
    wait_for(lambda: not group_members(trial.pid))
    return dict(outcome)


def gone(pid: int) -> bool:
    """Ended; perhaps still a zombie, where nobody reaps orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_a_trial_that_ends_well(job: MakeJob) -> None:
    given = job("fine")
    outcome = finish(given)
    assert (outcome["status"], outcome["cause"]) == ("ok", "")
    assert outcome["measures"]["test_accuracy"] == 0.5
    for name in ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "warmup_seconds"):
        assert outcome["measures"][name] > 0 or name == "warmup_seconds"
    assert set(outcome["phases"]) == {"import", "data", "warmup", "train"}
    assert outcome["settings"]["exact"] is True
    assert outcome["settings"]["memory_method"] == "vmhwm-reset"
    lines = (given.folder / "epochs.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert '"rss_bytes":null' not in lines[0]
    assert (given.folder / "mem.csv").read_text().startswith("seconds,rss_bytes,peak_rss_bytes\n")


ENDINGS = [
    ("nan", {}, "diverged", ""),
    ("raises", {}, "error", "ValueError"),
    ("raises", {"error": "unsupported"}, "unsupported", ""),
    ("fine", {"dataset": {"name": "odd", "missing": True}}, "skipped", ""),
    ("greedy", {"memory_limit": 600 * MIB}, "out-of-memory", "alloc"),
    ("greedy", {"how": "wrapped", "memory_limit": 600 * MIB}, "out-of-memory", "alloc"),
    ("greedy", {"how": "map", "memory_limit": 600 * MIB}, "out-of-memory", "alloc"),
    ("greedy", {"how": "bad_alloc"}, "out-of-memory", "alloc"),
    ("greedy", {"how": "shared", "memory_limit": 300 * MIB}, "out-of-memory", "limit"),
    ("dies", {}, "killed", "SIGKILL"),
    ("dies", {"how": "SIGTERM"}, "crashed", "SIGTERM"),
    ("dies", {"how": "wild"}, "crashed", "SIGSEGV"),
    ("dies", {"how": "exit"}, "crashed", "exit 3 without result"),
    ("dies", {"how": "quiet"}, "crashed", "exit 0 without result"),
    ("stays", {"timeout": 1.0}, "timeout", ""),
    ("stays", {"how": "loop", "timeout": 1.0}, "timeout", ""),
    ("prints", {}, "ok", ""),
    ("no-such-trainer", {}, "error", "PluginError"),
    ("fills", {}, "interrupted", ""),
    ("fills", {"again": True}, "interrupted", ""),
    ("fills", {"elsewhere": True}, "error", "OSError"),
]


@pytest.mark.parametrize(("trainer", "given", "status", "cause"), ENDINGS)
def test_every_end_has_its_words(
    job: MakeJob, trainer: str, given: dict[str, Any], status: str, cause: str
) -> None:
    given_job = job(trainer, **given)
    outcome = finish(given_job)
    assert (outcome["status"], outcome["cause"]) == (status, cause), outcome
    record = Record(trial=given_job.trial, attempt=1, **outcome)
    assert Record.from_json(record.to_json()).status == status


def test_an_error_tells_its_last_line_and_leaves_its_traceback(job: MakeJob) -> None:
    given = job("raises")
    outcome = finish(given)
    assert outcome["detail"] == "the last line"
    assert "Traceback" in (given.folder / "stderr.log").read_text()
    assert "the last line" in outcome["log_tail"]


def test_what_a_plugin_prints_goes_to_a_file(job: MakeJob) -> None:
    given = job("prints")
    finish(given)
    assert (given.folder / "stdout.log").stat().st_size == 5 * MIB


def test_a_known_allocation_is_measured_within_2_mib(job: MakeJob) -> None:
    outcome = finish(job("allocates", mib=24))
    assert abs(outcome["measures"]["net_peak_bytes"] - 48 * MIB) < 2 * MIB
    peaks = {name: phase["peak_rss_bytes"] for name, phase in outcome["phases"].items()}
    assert abs(peaks["topology"] - peaks["train"] - 24 * MIB) < 2 * MIB
    assert outcome["measures"]["peak_rss_bytes"] >= max(peaks.values())


def test_the_memory_of_the_supervisor_is_not_the_trials(job: MakeJob) -> None:
    ballast = bytearray(200 * MIB)
    ballast[::4096] = b"x" * len(ballast[::4096])
    assert finish(job("fine"))["measures"]["peak_rss_bytes"] < 200 * MIB


def test_a_worker_knows_its_place(job: MakeJob, tmp_path: Path) -> None:
    core = usable_cores()[0]
    given = replace(
        job("tells", memory_limit=700 * MIB), cores=(core,), numba_cache=tmp_path / "numba"
    )
    outcome = finish(given)
    seen = outcome["layers"][0]
    assert seen["NUMBA_NUM_THREADS"] == "1"
    assert seen["PYTHONHASHSEED"] == seen["NUMPY_MADVISE_HUGEPAGE"] == "0"
    assert seen["NUMBA_CACHE_DIR"] == str(tmp_path / "numba")
    assert seen["SPARSEBENCH_LIFELINE"] is None
    assert seen["safe_path"]
    assert seen["leads_session"]
    assert seen["data_limit"] == 700 * MIB
    assert seen["cores"] == [core]
    assert seen["children"] == ""  # the host is its parent
    assert seen["parts"] == ["Odd", None, 2, 0]


def test_the_deaf_and_their_children_end_too(job: MakeJob, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    trial = Supervised(job("stays", how="deaf", file=str(file)), grace=0.1)
    wait_for(file.exists)
    trial.stop()
    assert wait(trial)["status"] == "interrupted"
    pids = [int(pid) for pid in file.read_text().split()]
    assert len(pids) == 2
    wait_for(lambda: all(gone(pid) for pid in pids))


@pytest.mark.parametrize("kill", [False, True])
def test_a_stopped_trial_is_interrupted(job: MakeJob, tmp_path: Path, kill: bool) -> None:
    file = tmp_path / "pids"
    trial = Supervised(job("stays", file=str(file)))
    wait_for(file.exists)
    trial.stop(kill=kill)
    assert wait(trial)["status"] == "interrupted"


@pytest.mark.parametrize("how", ["loop", "deaf", "sleep"])
def test_nothing_outlives_a_killed_supervisor(job: MakeJob, tmp_path: Path, how: str) -> None:
    file = tmp_path / "pids"
    job_file = tmp_path / "job.json"
    job_file.write_text(json.dumps(job("stays", how=how, file=str(file)).to_json()))
    code = (
        "import json, sys, time; from sparsebench.core.job import Job;"
        "from sparsebench.run.supervisor import Supervised;"
        "trial = Supervised(Job.from_json(json.load(open(sys.argv[1]))))\n"
        "while trial.poll() is None: time.sleep(0.02)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code, str(job_file)])
    wait_for(file.exists)
    pids = [int(pid) for pid in file.read_text().split()]
    assert not any(gone(pid) for pid in pids)
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    wait_for(lambda: all(gone(pid) for pid in pids))
    wait_for(lambda: not group_members(pids[0]))


def group_members(group: int) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and not gone(int(entry.name)):
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group:
                found.append(entry.name)
    return found


def test_the_supervisor_imports_nothing_heavy() -> None:
    code = (
        "import sys, sparsebench.run.session, sparsebench.api;"
        "heavy = {'numpy', 'pandas', 'scipy', 'numba', 'matplotlib'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_job_that_only_compiles(job: MakeJob) -> None:
    allocating = job("allocates", mib=1)
    outcome = finish(replace(allocating, compile_for=(allocating.trial,)))
    assert outcome["status"] == "ok"
    assert set(outcome["phases"]) == {"import", "warmup"}


def test_progress_is_there_to_see(job: MakeJob, tmp_path: Path) -> None:
    given = job("fine")
    trial = Supervised(given)
    wait(trial)
    seen = trial.progress()
    assert (seen["epoch"], seen["epochs"], seen["step"], seen["steps"]) == (1, 2, 1, 6)


def test_a_failed_trial_keeps_what_it_took(job: MakeJob) -> None:
    outcome = finish(job("allocates", mib=24, fails=True))
    assert outcome["status"] == "error"
    assert abs(outcome["measures"]["net_peak_bytes"] - 24 * MIB) < 2 * MIB
    assert outcome["settings"]["exact"] is True
    assert "build" in outcome["phases"]


def test_a_full_disk_is_named(job: MakeJob) -> None:
    given = job("fills")
    outcome = finish(given)
    assert outcome["detail"] == f"the disk of {given.folder} failed: No space left on device"


def test_a_folder_that_cannot_be_made_is_the_stores_fault(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write to the store .*: a file stands"):
        Supervised(replace(job("fine"), folder=tmp_path / "file" / "1"))


@pytest.mark.parametrize("killed", [False, True])
def test_a_short_spike_is_measured_also_in_a_trial_that_is_killed(
    job: MakeJob, killed: bool
) -> None:
    """400 MiB for 100 ms, long gone when the process ends."""
    outcome = finish(job("spikes", killed=killed))
    floor = finish(job("spikes", mib=1))["measures"]["peak_rss_bytes"] - MIB
    assert outcome["status"] == ("killed" if killed else "ok")
    assert abs(outcome["measures"]["peak_rss_bytes"] - floor - 400 * MIB) < 5 * MIB
    settings = outcome["settings"]
    assert settings["exact"] is not killed
    assert settings["memory_method"] == ("polled" if killed else "vmhwm-reset")


def test_a_trial_may_print_much_and_close_its_outputs(job: MakeJob) -> None:
    given = job("floods")
    assert finish(given)["status"] == "ok"
    assert (given.folder / "stdout.log").stat().st_size == 50_000_000


def test_a_plugin_that_hangs_while_it_is_imported_runs_into_the_timeout(
    job: MakeJob, tmp_path: Path
) -> None:
    """It counts from the start of the process, whatever that does."""
    plugin = tmp_path / "hangs.py"
    plugin.write_text("import time\ntime.sleep(600)\n")
    given = job("fine", timeout=1.0)
    outcome = finish(replace(given, plugin_files=(*given.plugin_files, plugin)))
    assert outcome["status"] == "timeout"
    assert outcome["settings"]["exact"] is False


IGNORING = """
import json, os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it stays ignored where the tests run under nohup
for number in map(int, sys.argv[2].split()):
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[3], sys.argv[1]])
"""

SUPERVISING = """
import json, sys, time
from sparsebench.core.job import Job
from sparsebench.run.signals import Signals
from sparsebench.run.supervisor import Supervised
with Signals() as signals:
    trial = Supervised(Job.from_json(json.load(open(sys.argv[1]))))
    while (outcome := trial.poll()) is None:
        time.sleep(0.02)
        if signals.count:
            trial.stop()
print(outcome["status"], signals.exit_code)
"""


def supervised_where_ignored(job: Job, tmp_path: Path, *ignored: int) -> subprocess.Popen[str]:
    """A supervisor in a process that was started with these signals ignored."""
    job_file = tmp_path / "job.json"
    job_file.write_text(json.dumps(job.to_json()))
    words = [sys.executable, "-c", IGNORING, str(job_file), " ".join(map(str, map(int, ignored)))]
    return subprocess.Popen([*words, SUPERVISING], stdout=subprocess.PIPE, text=True)


def test_an_exit_code_is_had_where_sigchld_came_ignored(job: MakeJob, tmp_path: Path) -> None:
    supervisor = supervised_where_ignored(job("dies", how="exit"), tmp_path, signal.SIGCHLD)
    assert supervisor.communicate()[0] == "crashed None\n"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_signals_are_heeded_where_int_and_term_came_ignored(
    job: MakeJob, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    file = tmp_path / "pids"
    ignored = {signal.SIGINT, signal.SIGTERM}
    supervisor = supervised_where_ignored(job("stays", file=str(file)), tmp_path, *ignored)
    wait_for(file.exists)
    supervisor.send_signal(number)
    assert supervisor.communicate()[0] == f"interrupted {code}\n"
