"""Supervises one trial: starts it, kills it at its memory limit or timeout, classifies its end.

The host is a process above the trial's, on Linux only (see `core.worker.guard_processes`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsebench import machine
from sparsebench.core.job import Job
from sparsebench.core.status import FAILURES
from sparsebench.core.worker import limits, memory, processes
from sparsebench.core.worker.classify import TAIL_LINES, End, StopReason, classify
from sparsebench.run import memory_cgroup, mpi_process_log, noise
from sparsebench.run.launch import launch
from sparsebench.run.memory_trace import SAMPLE_SECONDS, Trace
from sparsebench.store.provenance import impersonal
from sparsebench.store.record import utc_now
from sparsebench.store.safe_files import Damaged, read_json
from sparsebench.store.schemas import PROGRESS, RESULT

EARLIER = ("wall_seconds", "cpu_seconds")
"""Measures that a resumed trial adds up over all its attempts."""

GRACE = 2.0
"""Seconds between TERM and KILL."""

LINGER = 2.0
"""Seconds after the end of an MPI trial's process until mpiexec is killed. mpiexec ends by itself,
but only when nothing holds the stdout of its processes open."""


class Supervised:
    """A running trial on this machine: an `executor.Handle`.

    There is no thread: only `poll` checks the process and reacts. `fileno` becomes readable when
    the process has ended, so that callers can wait for it.
    """

    def __init__(self, job: Job, *, grace: float = GRACE) -> None:
        self._job = job
        self._grace = grace
        self._reason: StopReason = ""
        self._kill_at: float | None = None
        self._over_at: float | None = None
        self._ranks = mpi_process_log.Ranks()
        self._outcome: dict[str, Any] | None = None
        self._room = job.trial.memory_limit or machine.available_memory()
        self._oom_kills = memory.oom_kills()
        self._started = utc_now()
        self._clock = time.monotonic()
        self._looked = 0.0
        self._before, self._own_before = noise.sample(job.cores), time.process_time()
        self._group = memory_cgroup.make(job.trial.memory_limit)
        self._in_group = False
        try:
            self._launched = launch(job, self._group)
        except BaseException:
            if self._group is not None:
                self._group.remove()
            raise
        self._started_pid = self._launched.process.pid
        self._pidfd = _pidfd(self._started_pid)
        self._trace = Trace(self._started_pid, job.folder / "mem.csv")

    @property
    def pid(self) -> int:
        """Pid of the trial's process or of mpiexec; of its host until the host has started it."""
        if self._trace.pid is None and (child := self._launched.child()) is not None:
            self._trace.follow(child)
        return self._trace.pid or self._started_pid

    def fileno(self) -> int:
        """A file descriptor that is readable when the process has ended; -1 if there is none or the
        trial has ended."""
        return self._pidfd

    def poll(self) -> Mapping[str, Any] | None:
        """Check the trial. Returns the supervisor's part of the record once the trial has ended,
        and None before."""
        if self._outcome is None:
            code = self._reap()
            if code is not None:
                self._outcome = self._conclude(code)
            else:
                self._look()
        return self._outcome

    def progress(self) -> Mapping[str, Any]:
        seen = read_progress(self._job.folder / "progress.json")
        return seen | {"rss_bytes": self._trace.rss}

    def stop(self, kill: bool = False) -> None:
        self._end("stop", at_once=kill)

    # --- watching ---------------------------------------------------------------------

    def _look(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            self._signal(signal.SIGKILL)
        if now - self._looked < SAMPLE_SECONDS:
            return
        self._looked, pid = now, self.pid
        if self._job.processes > 1:
            self._ranks = mpi_process_log.read(self._job.folder)
            self._trace.ranks = tuple(self._ranks.starts)
            if self._ranks.over and self._over_at is None:
                self._over_at = now
            if self._over_at is not None and now - self._over_at > LINGER:
                self._signal(signal.SIGKILL)
        self._trace.sample()
        if self._group is not None and not self._in_group:
            self._in_group = any(map(self._group.has, self._ranks.starts or (pid,)))
        limit, timeout = self._job.trial.memory_limit, self._job.trial.timeout
        if limit is not None and self._trace.exceeds(limit):
            self._end("limit", at_once=True)
        elif timeout is not None and now - self._clock > timeout:
            self._end("timeout")

    def _end(self, why: StopReason, at_once: bool = False) -> None:
        """Terminate the trial, and kill it after its grace time or `at_once`. `why` is recorded if
        it is the first reason."""
        if self._outcome is not None:
            return
        first = not self._reason
        self._reason = self._reason or why
        if at_once:
            self._kill_at = time.monotonic()
            self._signal(signal.SIGKILL)
        elif first:
            self._kill_at = time.monotonic() + self._grace
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the trial's process group. The processes of an MPI trial have groups of their own
        and are signalled directly, because mpiexec would kill them instead."""
        if number == signal.SIGKILL:
            self._launched.kill()
        elif self._ranks.living:
            processes.signal_known(self._ranks.living.items(), number)
        else:
            self._launched.signal(number)

    # --- the end ----------------------------------------------------------------------

    def _reap(self) -> int | None:
        """Reap the process if it has ended, and kill what it left. Returns its exit code, or None
        if it is still running.

        A host has killed everything already, unless it was killed itself. Without a host, the
        process group is killed before its leader is reaped, while its number cannot belong to
        another group. Processes that left the group are found by their mark or among the
        descendants that were seen.
        """
        can_look_first = hasattr(os, "waitid")  # not on every macOS
        if can_look_first:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            if os.waitid(os.P_PID, self._started_pid, options) is None:
                return None
            self._signal(signal.SIGKILL)
        pid, status, usage = os.wait4(self._started_pid, os.WNOHANG)
        if pid == 0:
            return None
        if not can_look_first:
            self._signal(signal.SIGKILL)
        if self._job.processes > 1:
            self._ranks = mpi_process_log.read(self._job.folder)
        processes.kill_known([*self._trace.seen(), *self._ranks.starts.items()])
        processes.kill_marked(self._launched.mark)
        self._wall = time.monotonic() - self._clock
        self._cpu = usage.ru_utime + usage.ru_stime
        code = os.waitstatus_to_exitcode(status)
        self._launched.process.returncode = code
        return code

    def _conclude(self, code: int) -> dict[str, Any]:
        after, own = noise.sample(self._job.cores), time.process_time() - self._own_before
        result, malformed = read_result(self._job.folder / "result.json")
        tail = _tail(self._job)
        reported: Mapping[str, Any] = result if result is not None else {}
        end = End(
            code=self._ranks.code(code),
            who=self._ranks.first_to_end,
            stopped=self._reason,
            result=result,
            malformed=malformed,
            tail=tail,
            rss=self._trace.rss,
            room=self._room,
            oom_killed=memory.oom_kills() > self._oom_kills,
            group_oom_killed=self._group is not None and self._group.oom_kills() > 0,
        )
        status, cause, detail = classify(end)
        own += self._cpu_of_all(reported)
        measures, settings = self._measures(reported), self._settings(reported)
        swapped = self._trace.swapped
        disturbed = noise.between(self._before, after, own_seconds=own, swapped=swapped)
        self._close()
        mpi_process_log.forget(self._job.folder)
        return {
            "status": str(status),
            "cause": cause,
            "detail": impersonal(detail),
            "measures": measures,
            "phases": reported.get("phases", {}),
            "layers": reported.get("layers", []),
            "data_fingerprint": reported.get("data_fingerprint", ""),
            "settings": settings,
            "noise": disturbed,
            "machine": machine.describe(),
            "started": self._started,
            "ended": utc_now(),
            "contended": self._job.contended,
            "log_tail": impersonal(tail) if status in FAILURES else "",
        }

    def _cpu_of_all(self, reported: Mapping[str, Any]) -> float:
        """CPU seconds of everything that the trial started. For one process, that is the usage of
        the reaped process and its children. For an MPI trial, that usage may lack processes, so it
        is the largest of that, the last samples, and what the trial reported."""
        if self._job.processes == 1:
            return self._cpu
        seen = sum(self._trace.tree.spent.get(pid, 0.0) for pid in self._ranks.starts)
        own = reported.get("measures", {}).get("cpu_seconds")
        self._cpu = max(self._cpu, seen, own if isinstance(own, int | float) else 0.0)
        return self._cpu

    def _measures(self, reported: Mapping[str, Any]) -> dict[str, Any]:
        measures = dict(reported.get("measures", {}))
        peak = max(measures.get("peak_rss_bytes") or 0, self._trace.peak)
        group = self._group.peak() if self._group is not None and self._in_group else None
        peaks = {"peak_tree_pss_bytes": self._trace.tree.peak_pss, "cgroup_peak_bytes": group}
        earlier = {name: measures.pop(f"earlier_{name}", None) or 0.0 for name in EARLIER}
        return measures | {
            "wall_seconds": self._wall + earlier["wall_seconds"],
            "cpu_seconds": self._cpu + earlier["cpu_seconds"],
            "peak_rss_bytes": peak or None,
            **{name: peak for name, peak in peaks.items() if peak is not None},
        }

    def _settings(self, reported: Mapping[str, Any]) -> dict[str, Any]:
        trial = self._job.trial
        seen = {
            "threads": trial.threads,
            "huge_pages": trial.huge_pages,
            "cores": list(self._job.cores) if self._job.cores is not None else None,
            "swapped": self._trace.swapped,
            **({"processes": self._job.processes} if self._job.processes > 1 else {}),
            **({"oversubscribed": True} if self._job.oversubscribed else {}),
            "memory_method": "polled",
            "exact": False,
            "memory_limits": limits.limit_mechanisms(trial.memory_limit, in_group=self._in_group),
        }
        return seen | dict(reported.get("settings", {}))

    def _close(self) -> None:
        self._trace.close()
        self._launched.close_lifeline()
        if self._group is not None:
            self._group.remove()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def supervise(job: Job) -> Mapping[str, Any]:
    """Run one job to its end and return its outcome. An exception meanwhile, such as Ctrl-C, kills
    the trial and is raised again."""
    handle = Supervised(job)
    try:
        while (outcome := handle.poll()) is None:
            time.sleep(SAMPLE_SECONDS / 5)
    except BaseException:
        handle.stop(kill=True)
        while handle.poll() is None:
            time.sleep(SAMPLE_SECONDS / 5)
        raise
    return outcome


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def read_result(file: Path) -> tuple[dict[str, Any] | None, str]:
    """The content of result.json, or None if it is missing or malformed; and what is wrong with it,
    empty if it is sound or missing. Never raises Damaged, because the trial may write anything."""
    if not os.path.lexists(file):
        return None, ""
    try:
        return read_json(file, os.path.realpath(file.parent), RESULT), ""
    except Damaged as error:
        return None, f"its {file.name} is malformed: {str(error).partition(': ')[2]}"[:300]


def read_progress(file: Path) -> dict[str, Any]:
    """The content of progress.json; empty if it is missing or malformed."""
    try:
        return read_json(file, os.path.realpath(file.parent), PROGRESS)
    except Damaged:
        return {}


def _tail(job: Job, size: int = 8000) -> str:
    """The last lines of the trial's stderr."""
    try:
        with (job.folder / "stderr.log").open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - size))
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-TAIL_LINES:])
