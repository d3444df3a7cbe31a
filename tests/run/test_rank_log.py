"""From what the processes of a trial left to how it ended; and what is said without any MPI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sparsebench.core.files import write_first
from sparsebench.core.job import Job, Ladder
from sparsebench.core.trial import Trial
from sparsebench.core.worker import attempt, mpi
from sparsebench.core.worker.classify import NO_DISK, End, classify
from sparsebench.core.worker.mpi import COLUMNS, add_up
from sparsebench.errors import Unsupported
from sparsebench.run import mpi_process_log
from sparsebench.run.core_slots import Slots

Tell = Callable[[mpi.RankLog], None]


def began(log: mpi.RankLog) -> None:
    log.began(900_000_000 + log.rank)


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., mpi_process_log.Ranks]:
    """left((1, -9), (0, -9)): two processes began; these ended, in this order, with these codes;
    "failure" and "success" are results."""
    monkeypatch.setattr(mpi, "started", lambda pid: 7)
    monkeypatch.setattr(mpi_process_log, "started", lambda pid: 7)

    def leave(*events: tuple[int, int | str]) -> mpi_process_log.Ranks:
        diaries = [mpi.RankLog(tmp_path, rank) for rank in range(2)]
        for log in diaries:
            began(log)
        for rank, what in events:
            if isinstance(what, str):
                diaries[rank].left(failed=what == "failure")
            else:
                diaries[rank].ended(900_000_000 + rank, what, orderly=what == 0)
        return mpi_process_log.read(tmp_path)

    return leave


@pytest.mark.parametrize(
    ("events", "code", "who"),
    [
        ([(1, -11), (0, -9)], -11, "worker 1"),
        ([(0, -9), (1, -11)], -9, "master"),
        ([(1, "failure"), (0, -9), (1, 1)], 1, ""),
        ([(1, -9), (0, "failure"), (0, 1)], -9, "worker 1"),
        ([(0, "success"), (0, 0), (1, 0)], 0, ""),
        ([(0, "success"), (1, -11), (0, -9)], -11, "worker 1"),
        ([], -9, ""),
    ],
)
def test_the_first_that_is_missing_is_the_cause(
    left: Callable[..., mpi_process_log.Ranks],
    events: list[tuple[int, int | str]],
    code: int,
    who: str,
) -> None:
    found = left(*events)
    assert (found.code(255), found.first_to_end) == (code, who)
    assert found.over == bool(events)


def test_without_a_process_mpiexec_itself_tells(tmp_path: Path) -> None:
    assert mpi_process_log.read(tmp_path).code(255) == 255
    assert not mpi_process_log.read(tmp_path).over


def test_a_full_disk_is_reported_by_the_exit_code_alone(
    left: Callable[..., mpi_process_log.Ranks],
) -> None:
    assert left().code(NO_DISK) == NO_DISK


def test_it_is_over_when_all_are_gone_whether_or_not_somebody_reported(tmp_path: Path) -> None:
    mpi.RankLog(tmp_path, 0).began(os.getpid())
    assert not mpi_process_log.read(tmp_path).over
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        mpi.RankLog(tmp_path, 1).began(child.pid)
        (tmp_path / mpi.FILE).write_text((tmp_path / mpi.FILE).read_text().splitlines()[1])
        assert not mpi_process_log.read(tmp_path).over
    assert mpi_process_log.read(tmp_path).over


def test_an_end_that_was_not_in_order_counts_whatever_its_code(tmp_path: Path) -> None:
    log = mpi.RankLog(tmp_path, 1)
    log.ended(5, 0, orderly=False)
    assert mpi_process_log.read(tmp_path).broken == (1, 0)


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    lines = ['{"rank": "x"}', "[1]", '{"rank": 1, "pid": "a"}', "{}", '{"rank": 1}', '{"ra']
    lines += [f'{{"rank": 1, "pid": {pid}, "start": 1}}' for pid in (0, -1, 10**30, "true")]
    (tmp_path / mpi.FILE).write_text("\n".join(lines))
    assert mpi_process_log.read(tmp_path) == mpi_process_log.Ranks()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / mpi.FILE)
    assert mpi_process_log.read(tmp_path) == mpi_process_log.Ranks()


def test_a_death_names_the_process_and_an_end_by_us_does_not() -> None:
    assert classify(End(code=-11, who="worker 3")) == ("crashed", "SIGSEGV", "worker 3: SIGSEGV")
    assert "worker" not in classify(End(code=-15, who="worker 3", stopped="timeout"))[2]


def test_the_first_result_stands(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    assert write_first(file, "one")
    assert not write_first(file, "two")
    assert file.read_text() == "one"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["result.json"]


def test_sums_over_the_processes() -> None:
    rows = [[10.0, 100.0, 90.0, 1.5, 1.0], [20.0, 200.0, 180.0, 2.0, 1.0]]
    assert len(rows[0]) == len(COLUMNS)
    total = add_up({"measures": {"test_accuracy": 0.5}, "settings": {"exact": True}}, rows)
    assert total["measures"] == {
        "test_accuracy": 0.5, "net_peak_bytes": 30, "peak_rss_bytes": 300, "cpu_seconds": 3.5,
    }  # fmt: skip
    assert total["settings"]["baseline_rss_bytes"] == 270
    assert [one["net_peak_bytes"] for one in total["settings"]["ranks"]] == [10, 20]


def test_a_peak_that_one_does_not_know_is_unknown() -> None:
    rows = [[10.0, 100.0, 90.0, 1.5, 1.0], [float("nan"), 200.0, float("nan"), 2.0, 0.0]]
    total = add_up({"measures": {}, "settings": {}}, rows)
    assert total["measures"]["net_peak_bytes"] is None
    assert total["settings"]["exact"] is False


def test_without_mpiexec_a_trial_is_unsupported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, trial: Callable[..., Trial], tmp_path: Path
) -> None:
    monkeypatch.setattr(mpi, "found", lambda: None)
    job = Job(trial=trial("several"), folder=tmp_path, data_dir=tmp_path, processes=3)
    with pytest.raises(Unsupported, match=r"mpiexec.*get it with: pip install \"sparsebench"):
        attempt.require_team(job, None)
    assert mpi.command(3, ["python"]) == ["python"]


def test_one_process_needs_none_of_it(
    monkeypatch: pytest.MonkeyPatch, job: Callable[..., Job]
) -> None:
    monkeypatch.setattr(mpi, "found", lambda: None)
    attempt.require_team(job("fine"), None)


def test_a_job_travels_with_its_processes(job: Callable[..., Job]) -> None:
    given = replace(job("fine"), cores=(0, 1), ladders=(Ladder(8, (10, 20), 1.5),))
    data = json.loads(json.dumps(given.to_json()))
    assert Job.from_json(data) == given
    assert Job.from_json({**data, "processes": 4}).processes == 4
    assert Job.from_json({k: v for k, v in data.items() if k != "processes"}).processes == 1


def test_processes_want_cores_as_threads_do(
    monkeypatch: pytest.MonkeyPatch, trial: Callable[..., Trial]
) -> None:
    monkeypatch.setattr("sparsebench.run.core_slots.usable_cores", lambda: [0, 1])
    single, crowd = trial("fine"), trial("several")

    def cores_of(one: Trial) -> int:
        return 3 if one is crowd else one.threads

    assert Slots(1, shared=True, cores_of=cores_of).shortage([single]) == ""
    total = Slots(1, shared=True, cores_of=cores_of).shortage([single, crowd])
    assert "up to 3 threads together and have 2 cores" in total
    assert "ask for up to 3 threads" in Slots(2, shared=True, cores_of=cores_of).shortage([crowd])
    assert Slots(1, shared=False, cores_of=cores_of).shortage([crowd]) == ""
