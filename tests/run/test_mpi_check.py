"""What `doctor` says of trials of several processes on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import pytest
from processes import marked

from sparsebench.core.worker import mpi
from sparsebench.run import mpi_check as hello
from sparsebench.run.mpi_check import check_mpi

Start = Callable[[int, Sequence[str]], list[str]]

needs_mpi = pytest.mark.skipif(bool(mpi.missing()), reason=f"mpi: {mpi.missing()}")


def running(code: str) -> Start:
    """In place of mpiexec."""
    return lambda count, program: [sys.executable, "-c", code]


@needs_mpi
def test_two_processes_find_each_other() -> None:
    heard = check_mpi()
    assert heard.wrong == ""
    assert heard.found.endswith(", 2 processes found each other")
    assert heard.mpiexec == mpi.found()


@needs_mpi
def test_processes_that_do_not_are_of_two_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpi, "command", lambda count, program: [*program])
    heard = check_mpi()
    assert "are not of one MPI" in heard.wrong
    assert "found" not in heard.found


def test_without_mpiexec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpi, "found", lambda: None)
    heard = check_mpi()
    assert (heard.mpiexec, heard.found) == ("not found", "none")
    assert heard.wrong.endswith('get it with: pip install "sparsebench[mpi]"')


@needs_mpi
def test_the_last_complaint_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    complaint = "import sys; print('one'); sys.exit('unable to resolve host\\n')"
    monkeypatch.setattr(mpi, "command", running(complaint))
    assert check_mpi().wrong.endswith("started no 2 processes: unable to resolve host")


@needs_mpi
def test_no_answer_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what made a session of its own."""
    monkeypatch.setattr(hello, "PATIENCE", 0.5)
    monkeypatch.setattr(hello.secrets, "token_hex", lambda size: "of-test-hello")
    code = (
        "import subprocess, sys, time\n"
        "words = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "subprocess.Popen(words, start_new_session=True); time.sleep(60)"
    )
    monkeypatch.setattr(mpi, "command", running(code))
    assert "gave no answer" in check_mpi().wrong
    assert marked("of-test-hello") == []
