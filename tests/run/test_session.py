from __future__ import annotations

import errno
import json
import os
import pdb
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.trial import Trial
from sparsebench.cores_and_threads import usable_cores
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, StoreError
from sparsebench.machine import total_memory
from sparsebench.registry import Plugins
from sparsebench.run import core_slots, executor
from sparsebench.run import debug as debugging
from sparsebench.run.core_slots import Slots
from sparsebench.run.options import Listener, Options, Summary
from sparsebench.run.session import run_trials
from sparsebench.run.signals import Signals
from sparsebench.store.record import Record
from sparsebench.store.store import Store
from sparsebench.suite.suite import Expect, Suite

MakeTrial = Callable[..., Trial]
HERE = Path(__file__).parent


class HandshakeResult(Listener):
    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def started(self, run_id: str, total: int) -> None:
        self.log.append(("started", total))

    def compiling(self, names: Any) -> None:
        self.log.append(("compiling", *names))

    def trial_started(self, trial: Trial, number: int) -> None:
        self.log.append(("trial", number))

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        self.log.append(("ended", str(record.status), reused))

    def note(self, line: str) -> None:
        self.log.append(("note", line))

    def ended(self, summary: Summary) -> None:
        self.log.append(("over", summary.exit_code))


def statuses(summary: Summary) -> list[str]:
    return [str(record.status) for record in summary.records]


def test_no_trial_begins_after_the_time_limit(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    heard = HandshakeResult()
    trials = [trial("fine", seed=seed) for seed in (0, 1)]
    summary = run_trials(suite, trials, odd, replace(options, time_limit=-1.0), heard)
    assert (summary.records, summary.exit_code) == ([], 5)
    notes = [line[1] for line in heard.log if line[0] == "note"]
    assert notes[-1] == "the time limit is reached; trials that do not begin: 2 x trainer=fine"


def test_the_others_finish_when_some_fail(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    trials = [
        trial("dies"),
        trial("dies", how="wild"),
        trial("raises"),
        trial("stays", timeout=1.0),
        trial("fine", dataset={"name": "odd", "missing": True}),
        trial("fine", backend={"name": "absent"}),
        replace(trial("fine"), dataset={"name": "elsewhere"}, data={"missing": "get it there"}),
        trial("fine"),
    ]
    heard = HandshakeResult()
    summary = run_trials(suite, trials, odd, replace(options, argv=("run", "odd")), heard)
    assert statuses(summary) == [
        "killed", "crashed", "error", "timeout", "skipped", "unsupported", "skipped", "ok"
    ]  # fmt: skip
    assert summary.exit_code == 1
    assert summary.counts == {
        "killed": 1, "crashed": 1, "error": 1, "timeout": 1, "skipped": 2, "unsupported": 1,
        "ok": 1,
    }  # fmt: skip
    assert heard.log[0] == ("started", 8)
    assert heard.log[-1] == ("over", 1)
    assert ("trial", 8) in heard.log
    assert summary.records[5].detail.startswith("backend 'absent' needs a_module_that_nobody_has")
    assert summary.records[6].detail == "get it there"
    kept = Store(options.store).run(summary.run)
    assert [record.status for record in kept.records] == [r.status for r in summary.records]
    assert kept.suite_text == suite.text
    assert kept.manifest["argv"] == ["run", "odd"]
    assert "odd_components.py" in [plugin["origin"] for plugin in kept.manifest["plugins"]]
    text = json.dumps(kept.manifest)
    assert str(HERE) not in text


def test_all_good_is_0_and_a_second_run_reuses(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    trials = [trial("fine", seed=seed) for seed in (0, 1)]
    first = run_trials(suite, trials, odd, options)
    assert (first.exit_code, first.reused) == (0, 0)
    heard = HandshakeResult()
    relabelled = [replace(t, suite="other", axes={"seed": t.seed}) for t in trials]
    second = run_trials(suite, relabelled, odd, options, heard)
    assert (second.exit_code, second.reused) == (0, 2)
    assert not [event for event in heard.log if event[0] == "trial"]
    assert [record.attempt for record in second.records] == [1, 1]
    stored = Store(options.store).run("latest")
    assert stored.id == second.run
    assert [r.trial.axes for r in stored.records] == [{"seed": 0}, {"seed": 1}]
    assert stored.records == second.records
    third = run_trials(suite, trials, odd, replace(options, resume=False))
    assert third.reused == 0
    assert [record.attempt for record in third.records] == [2, 2]


def test_nothing_ran_is_5(suite: Suite, odd: Plugins, options: Options, trial: MakeTrial) -> None:
    assert run_trials(suite, [trial("raises", error="unsupported")], odd, options).exit_code == 5
    assert run_trials(suite, [], odd, options).exit_code == 5


def test_an_expected_failure_is_none_and_its_absence_is_one(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    expecting = replace(suite, expects=(Expect({"trainer": "raises"}, "error"),))
    assert run_trials(expecting, [trial("raises")], odd, options).exit_code == 0
    hoping = replace(suite, expects=(Expect({"trainer": "fine"}, "timeout"),))
    heard = HandshakeResult()
    assert run_trials(hoping, [trial("fine")], odd, options, heard).exit_code == 1
    assert ("note", "trainer=fine: expected timeout, but it ended ok") in heard.log


def test_fail_fast_starts_nothing_more(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    trials = [trial("raises"), trial("fine")]
    summary = run_trials(suite, trials, odd, replace(options, fail_fast=True))
    assert statuses(summary) == ["error"]
    assert summary.exit_code == 1


def test_a_crashed_trial_is_tried_again(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, tmp_path: Path
) -> None:
    given = trial("dies", once=str(tmp_path / "seen"), retries=2)
    summary = run_trials(suite, [given], odd, options)
    assert statuses(summary) == ["ok"]
    assert summary.records[0].attempt == 2
    assert [str(r.status) for r in Store(options.store).records(given.id)] == ["killed", "ok"]


def test_retries_come_to_an_end(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    summary = run_trials(suite, [trial("dies", retries=1)], odd, options)
    assert (statuses(summary), summary.records[0].attempt) == (["killed"], 2)


@pytest.mark.skipif(len(usable_cores()) < 2, reason="needs two cores")
def test_trials_at_once_have_cores_of_their_own(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    trials = [trial("tells", seed=seed) for seed in range(3)]
    summary = run_trials(suite, trials, odd, replace(options, jobs=2))
    assert statuses(summary) == ["ok"] * 3
    assert all(record.contended for record in summary.records)
    half = len(usable_cores()) // 2
    assert all(len(record.layers[0]["cores"]) == half for record in summary.records)


def test_more_trials_at_once_than_cores_is_refused(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    with pytest.raises(SparsebenchError, match="need a physical core each"):
        run_trials(suite, [trial("fine")], odd, replace(options, jobs=4096))


def test_places_share_no_physical_core(trial: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_slots, "usable_cores", lambda: [0, 1, 2, 3, 4, 5])
    monkeypatch.setattr(core_slots, "physical_core", lambda core: core % 3)
    assert [Slots(3, shared=True).cores(place) for place in range(3)] == [(0, 3), (1, 4), (2, 5)]
    two = Slots(2, shared=True)
    assert [two.cores(place) for place in range(2)] == [(0, 3), (1, 4)]
    with pytest.raises(SparsebenchError, match=r"4 trials at once .* this machine has 3 to use"):
        Slots(4, shared=True)
    wide = replace(trial("fine"), threads=3)
    assert two.shortage([trial("fine"), wide]).startswith(
        "2 trials at once have 2 of the cores each, but ask for up to 3 threads"
    )
    assert two.shortage([replace(wide, threads=2)]) == ""
    assert two.shortage([]) == ""
    assert Slots(1, shared=True).shortage([wide]) == ""


def test_limits_share_the_memory(trial: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_slots, "usable_cores", lambda: [0, 1, 2])
    monkeypatch.setattr(core_slots, "physical_core", lambda core: core)
    shared = Slots(2, shared=True)
    assert (shared.cores(0), shared.cores(1)) == ((0,), (1,))
    most = trial("fine", memory_limit=total_memory() * 2 // 3)
    assert shared.fits(replace(most, memory_limit=2 * total_memory()))
    place = shared.take(most)
    assert not shared.fits(most)
    assert shared.fits(trial("fine"))
    shared.release(place)
    assert shared.fits(most)


def test_kernels_are_compiled_once_per_kind(
    suite: Suite,
    odd: Plugins,
    options: Options,
    trial: MakeTrial,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPARSEBENCH_CACHE", str(tmp_path / "fresh"))
    heard = HandshakeResult()
    trials = [trial("allocates", seed=seed) for seed in (0, 1)]
    summary = run_trials(suite, trials, odd, options, heard)
    assert heard.log.count(("compiling", "odd")) == 1
    assert statuses(summary) == ["ok", "ok"]
    folder = options.store / "runs" / summary.run / "compile"
    assert [entry.name for entry in folder.iterdir()] == ["0"]


def test_a_failing_compilation_is_said_and_the_trial_shows_it(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    heard = HandshakeResult()
    given = trial("uncompilable")
    summary = run_trials(suite, [given], odd, options, heard)
    assert ("note", "compiling for odd ended error TypeError no such kernel") in heard.log
    assert statuses(summary) == ["error"]


def test_a_component_that_nobody_knows_is_an_error(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    with pytest.raises(SparsebenchError, match="unknown trainer 'no-such'"):
        run_trials(suite, [trial("no-such")], odd, options)


def test_debug_is_for_one_trial(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    trials = [trial("fine"), trial("fine", seed=1)]
    with pytest.raises(SparsebenchError, match="--debug runs one trial; 2 are selected"):
        run_trials(suite, trials, odd, replace(options, debug=True))


def test_debug_lets_exceptions_through_and_is_never_reused(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    debugging = replace(options, debug=True)
    with pytest.raises(ValueError, match="the last line"):
        run_trials(suite, [trial("raises")], odd, debugging)
    [record] = Store(options.store).records(trial("raises").id)
    assert record.debug
    assert record.settings["exact"] is False
    assert record.status == "error"
    assert run_trials(suite, [trial("fine")], odd, debugging).records[0].debug
    after = run_trials(suite, [trial("fine")], odd, options)
    assert after.reused == 0
    assert not after.records[0].debug


def test_ctrl_c_ends_a_trial_in_debug(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def interrupted(*given: Any) -> Any:
        assert signal.getsignal(signal.SIGINT) is handler
        raise KeyboardInterrupt

    monkeypatch.setattr(debugging, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_trials(suite, [trial("fine")], odd, replace(options, debug=True))
    [record] = Store(options.store).run("latest").records
    assert (record.status, record.debug) == ("interrupted", True)


@pytest.mark.parametrize("terminal", [True, False])
def test_debug_shows_the_debugger_on_a_terminal(
    suite: Suite,
    odd: Plugins,
    options: Options,
    trial: MakeTrial,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(pdb, "post_mortem", shown.append)
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: terminal, raising=False)
    with pytest.raises(ValueError, match="the last line"):
        run_trials(suite, [trial("raises")], odd, replace(options, debug=True))
    assert len(shown) == int(terminal)


def test_a_full_disk_loses_nothing_finished(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, monkeypatch: Any
) -> None:
    trials = [trial("fine", seed=seed) for seed in range(3)]
    real = os.replace

    def full_after_one(source: Any, target: Any) -> None:
        finished = list(options.store.glob("trials/*/*/*/outcome.json"))
        if finished and Path(target).name == "outcome.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full_after_one)
    with pytest.raises(StoreError, match="the disk is full; finished trials are kept") as caught:
        run_trials(suite, trials, odd, options)
    assert caught.value.exit_code == 2
    monkeypatch.undo()
    kept = Store(options.store).run("latest").records
    assert [str(record.status) for record in kept][:1] == ["ok"]
    assert not list(options.store.rglob("*.tmp"))


def test_a_trial_that_cannot_start_is_one_line(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, monkeypatch: Any
) -> None:
    def full(*given: Any, **more: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(subprocess, "Popen", full)
    line = "executor 'local' cannot start a trial: No space left on device"
    with pytest.raises(SparsebenchError, match=line):
        run_trials(suite, [trial("fine")], odd, options)
    [record] = Store(options.store).run("latest").records
    assert record.status == "interrupted"


def test_an_exception_leaves_nothing_under_way(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, tmp_path: Path
) -> None:
    file = tmp_path / "pids"

    class Broken(Listener):
        def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
            if file.exists():
                assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_trials(suite, [trial("stays", file=str(file))], odd, options, Broken())
    [record] = Store(options.store).run("latest").records
    assert record.status == "interrupted"
    assert record.started
    assert not Path(f"/proc/{file.read_text()}").exists()


def test_sources_are_looked_at_when_a_trial_begins_and_when_it_ends(
    suite: Suite, options: Options, trial: MakeTrial, tmp_path: Path
) -> None:
    file = tmp_path / "odd_components.py"
    file.write_text((HERE / "odd_components.py").read_text())
    plugins = load_plugins([file])
    heard = HandshakeResult()
    trials = [trial("edits", file=str(file)), trial("fine")]
    edits, fine = run_trials(suite, trials, plugins, options, heard).records
    assert edits.fingerprint["code"] == "changed while it ran"
    assert [event for event in heard.log if event[0] == "note"] == [
        ("note", "trainer=edits: its code changed while it ran; it counts for no later run")
    ]
    again = run_trials(suite, trials[1:], plugins, options)
    assert again.reused == 1  # it began after the edit, and its fingerprint says so
    assert fine.fingerprint == again.records[0].fingerprint


def test_a_missing_data_set_is_reported_without_the_home(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial
) -> None:
    missing = f"x is not in {Path.home()}/data"
    given = replace(trial("fine"), data={"missing": missing})
    [record] = run_trials(suite, [given], odd, options).records
    assert record.detail == record.trial.data["missing"] == "x is not in ~/data"
    assert record.trial.id == given.id
    assert Store(options.store).run("latest").records == [record]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"jobs": 0}, "jobs: expected a whole number from 1, found 0"),
        ({"jobs": "2"}, "jobs: expected a whole number from 1, found '2'"),
        ({"rerun": "some"}, "rerun: expected failed or all, found 'some'"),
    ],
)
def test_options_that_make_no_sense(
    options: Options, given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(SparsebenchError, match=complaint):
        replace(options, **given)


def test_edited_code_runs_again_in_the_same_session(
    suite: Suite, options: Options, trial: MakeTrial, tmp_path: Path
) -> None:
    file = tmp_path / "odd_components.py"
    file.write_text((HERE / "odd_components.py").read_text())
    plugins = load_plugins([file])
    assert run_trials(suite, [trial("fine")], plugins, options).reused == 0
    assert run_trials(suite, [trial("fine")], plugins, options).reused == 1
    file.write_text(file.read_text() + "# edited\n")
    assert run_trials(suite, [trial("fine")], plugins, options).reused == 0
    stale = replace(options, reuse_stale=True)
    file.write_text(file.read_text() + "# again\n")
    assert run_trials(suite, [trial("fine")], plugins, stale).reused == 1


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from sparsebench.run.options import Listener, Options
from sparsebench.run.session import run_trials
from sparsebench.discovery import load_plugins
from sparsebench.suite.suite import Suite
from sparsebench.core.trial import Trial
import json
trials = [Trial.from_json(data) for data in json.loads(sys.argv[1])]
options = Options(Path(sys.argv[2]), Path("data"))
plugins = load_plugins([Path({here!r}) / "odd_components.py"])
summary = run_trials(Suite(name="odd", trial={{}}), trials, plugins, options)
sys.exit(summary.exit_code)
"""


def start(trials: list[Trial], options: Options) -> subprocess.Popen[bytes]:
    code = SCRIPT.format(here=str(HERE))
    given = json.dumps([trial.to_json() for trial in trials])
    return subprocess.Popen([sys.executable, "-c", code, given, str(options.store)])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_finished(
    options: Options, trial: MakeTrial, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    file = tmp_path / "pids"
    trials = [trial("fine"), trial("stays", file=str(file)), trial("fine", seed=1)]
    process = start(trials, options)
    wait_for(file.exists)
    process.send_signal(number)
    assert process.wait() == code
    records = Store(options.store).run("latest").records
    assert [str(record.status) for record in records] == ["ok", "interrupted"]


def test_a_run_under_nohup_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.count == 0
            os.kill(os.getpid(), signal.SIGTERM)
            assert (signals.count, signals.exit_code) == (1, 143)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_does_not_wait(options: Options, trial: MakeTrial, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    process = start([trial("stays", how="deaf", file=str(file))], options)
    wait_for(file.exists)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.wait() in (130, 143)
    records = Store(options.store).run("latest").records
    assert [str(record.status) for record in records] == ["interrupted"]


def test_a_killed_run_reads_as_interrupted_and_resumes(
    suite: Suite, odd: Plugins, options: Options, trial: MakeTrial, tmp_path: Path
) -> None:
    file = tmp_path / "pids"
    trials = [trial("fine"), trial("stays", file=str(file))]
    process = start(trials, options)
    wait_for(file.exists)
    store = Store(options.store)
    assert [str(r.status) for r in store.run("latest").records] == ["ok"]  # the other is alive
    process.kill()
    process.wait()
    assert [str(r.status) for r in store.run("latest").records] == ["ok", "interrupted"]
    again = run_trials(suite, [trials[0]], odd, options)
    assert again.reused == 1


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_an_executor_without_file_numbers_is_asked_now_and_then(trial: MakeTrial) -> None:
    class Silent:
        def poll(self) -> Mapping[str, Any] | None:
            return None

    executor.wait([Silent()])  # type: ignore[list-item]
