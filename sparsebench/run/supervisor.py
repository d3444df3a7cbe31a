"""Start, watch, stop and classify one trial's process, or processes. Light, and without threads."""

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
from sparsebench.run import cgroup, noise, rank_states
from sparsebench.run.launch import Launched, launch
from sparsebench.run.memory_trace import Trace
from sparsebench.store.models import PROGRESS, RESULT
from sparsebench.store.provenance import impersonal
from sparsebench.store.record import utc_now
from sparsebench.store.safe_files import Damaged, read_json

PERIOD = 0.05
"""Seconds between two looks at a process."""

EARLIER = ("wall_seconds", "cpu_seconds")
"""What a trial that goes on from a checkpoint has taken before this process."""

GRACE = 2.0
"""Seconds between asking a process to end and ending it."""

LINGER = 2.0
"""Seconds for mpiexec to end the others when one of a trial's processes is missing, and itself:
it waits for whatever still holds their stdout, too."""


class Supervised:
    """A trial under way on this machine: a `protocols.Handle`.

    Nothing happens on its own: `poll` looks, and acts on what it sees. `fileno` is readable
    once the process has ended, for those who would rather wait than ask.
    """

    def __init__(self, job: Job, *, grace: float = GRACE) -> None:
        self._job = job
        self._grace = grace
        self._asked: StopReason = ""
        self._kill_at: float | None = None
        self._over_at: float | None = None
        self._ranks = rank_states.Ranks()
        self._outcome: dict[str, Any] | None = None
        self._room = job.trial.memory_limit or machine.available_memory()
        self._oom_kills = memory.oom_kills()
        self._started = utc_now()
        self._clock = time.monotonic()
        self._looked = 0.0
        self._before, self._own_before = noise.sample(job.cores), time.process_time()
        self._group = cgroup.make(job.trial.memory_limit)
        self._in_group = False
        self._launched = self._launch()
        self._started_pid = self._launched.process.pid
        self._pidfd = _pidfd(self._started_pid)
        self._trace = Trace(self._started_pid, job.folder / "mem.csv")

    def _launch(self) -> Launched:
        try:
            return launch(self._job, self._group)
        except BaseException:
            if self._group is not None:
                self._group.remove()
            raise

    @property
    def pid(self) -> int:
        """Of the trial's process, or of mpiexec; of its host until it is there."""
        if self._trace.pid is None and (child := self._launched.child()) is not None:
            self._trace.follow(child)
        return self._trace.pid or self._started_pid

    def fileno(self) -> int:
        """-1 where the system has no such thing, or the trial has ended."""
        return self._pidfd

    def poll(self) -> Mapping[str, Any] | None:
        """The fields of its record that this machine knows, once the trial has ended."""
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
        if now - self._looked < PERIOD:
            return
        self._looked, pid = now, self.pid
        if self._job.processes > 1:
            self._look_at_ranks(now)
        self._trace.sample()
        if self._group is not None and not self._in_group:
            self._in_group = any(map(self._group.has, self._ranks.begun or (pid,)))
        limit, timeout = self._job.trial.memory_limit, self._job.trial.timeout
        if limit is not None and self._trace.exceeds(limit):
            self._end("limit", at_once=True)
        elif timeout is not None and now - self._clock > timeout:
            self._end("timeout")

    def _look_at_ranks(self, now: float) -> None:
        """Who they are, and whether there is anything left to wait for."""
        self._ranks = rank_states.read(self._job.folder)
        self._trace.ranks = tuple(self._ranks.begun)
        if self._ranks.over and self._over_at is None:
            self._over_at = now
        if self._over_at is not None and now - self._over_at > LINGER:
            self._signal(signal.SIGKILL)

    def _end(self, why: StopReason, at_once: bool = False) -> None:
        """Ask the group to end, once; the first reason stands."""
        if self._outcome is not None:
            return
        first = not self._asked
        self._asked = self._asked or why
        if at_once:
            self._kill_at = time.monotonic()
            self._signal(signal.SIGKILL)
        elif first:
            self._kill_at = time.monotonic() + self._grace
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        """To the group. Of several processes each is a group of its own, and mpiexec, asked to
        end, would kill them: it is their own affair what they do when they are asked."""
        if number == signal.SIGKILL:
            self._launched.kill()
        elif self._ranks.living:
            processes.signal_known(self._ranks.living.items(), number)
        else:
            self._launched.signal(number)

    # --- the end ----------------------------------------------------------------------

    def _reap(self) -> int | None:
        """The exit code if the process has ended; then nothing that it started is left.

        A host has seen to that, unless it was killed. Without one, the group goes before its leader
        is reaped, while its number cannot be another's; what left the group is found by the mark
        it bears, or was seen among the trial's children.
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
            self._ranks = rank_states.read(self._job.folder)
        processes.kill_known([*self._trace.seen(), *self._ranks.begun.items()])
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
        told: Mapping[str, Any] = result if result is not None else {}
        end = End(
            code=self._ranks.code(code),
            who=self._ranks.first_to_end,
            asked=self._asked,
            result=result,
            malformed=malformed,
            tail=tail,
            rss=self._trace.rss,
            room=self._room,
            oom_killed=memory.oom_kills() > self._oom_kills,
            group_oom_killed=self._group is not None and self._group.oom_kills() > 0,
        )
        status, cause, detail = classify(end)
        own += self._cpu_of_all(told)
        measures, settings = self._measures(told), self._settings(told)
        swapped = self._trace.swapped
        disturbed = noise.between(self._before, after, own_seconds=own, swapped=swapped)
        self._close()
        rank_states.forget(self._job.folder)
        return {
            "status": str(status),
            "cause": cause,
            "detail": impersonal(detail),
            "measures": measures,
            "phases": told.get("phases", {}),
            "layers": told.get("layers", []),
            "data_fingerprint": told.get("data_fingerprint", ""),
            "settings": settings,
            "noise": disturbed,
            "machine": machine.describe(),
            "started": self._started,
            "ended": utc_now(),
            "contended": self._job.contended,
            "log_tail": impersonal(tail) if status in FAILURES else "",
        }

    def _cpu_of_all(self, told: Mapping[str, Any]) -> float:
        """Seconds of all that the trial started; a host has waited for all of it. Of several
        processes those of mpiexec tell nothing; what each says of itself does, or was seen last."""
        if self._job.processes == 1:
            return self._cpu
        seen = sum(self._trace.tree.spent.get(pid, 0.0) for pid in self._ranks.begun)
        own = told.get("measures", {}).get("cpu_seconds")
        self._cpu = max(self._cpu, seen, own if isinstance(own, int | float) else 0.0)
        return self._cpu

    def _measures(self, told: Mapping[str, Any]) -> dict[str, Any]:
        measures = dict(told.get("measures", {}))
        peak = max(measures.get("peak_rss_bytes") or 0, self._trace.peak)
        earlier = {name: measures.pop(f"earlier_{name}", None) or 0.0 for name in EARLIER}
        return measures | {
            "wall_seconds": self._wall + earlier["wall_seconds"],
            "cpu_seconds": self._cpu + earlier["cpu_seconds"],
            "peak_rss_bytes": peak or None,
            **self._beyond_the_process(),
        }

    def _beyond_the_process(self) -> dict[str, int]:
        """Peaks of all its processes, where there were several, and of its control group."""
        tree = self._trace.tree.peak_pss
        group = self._group.peak() if self._group is not None and self._in_group else None
        peaks = {"peak_tree_pss_bytes": tree, "cgroup_peak_bytes": group}
        return {name: peak for name, peak in peaks.items() if peak is not None}

    def _settings(self, told: Mapping[str, Any]) -> dict[str, Any]:
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
            "memory_limits": limits.in_force(trial.memory_limit, in_group=self._in_group),
        }
        return seen | dict(told.get("settings", {}))

    def _close(self) -> None:
        self._trace.close()
        self._launched.let_go()
        if self._group is not None:
            self._group.remove()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def read_result(file: Path) -> tuple[dict[str, Any] | None, str]:
    """The result that the trial's process has left, and what is wrong with it; None where there
    is none, or none of the right form: the supervisor has to outlive whatever is written there."""
    if not os.path.lexists(file):
        return None, ""
    try:
        return read_json(file, os.path.realpath(file.parent), RESULT), ""
    except Damaged as error:
        return None, f"its {file.name} is malformed: {str(error).partition(': ')[2]}"[:300]


def read_progress(file: Path) -> dict[str, Any]:
    """The progress that the trial's process has left; empty where there is none, or none of the
    right form."""
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
