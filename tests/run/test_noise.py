from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.job import Job
from sparsebench.core.worker import memory
from sparsebench.core.worker.processes import cpu_seconds
from sparsebench.run import machine_facts, machine_warnings, memory_cgroup, noise
from sparsebench.run.supervisor import Supervised

CPU = "sys/devices/system/cpu"


class Kernel:
    """A folder with the files of /proc and /sys that are looked at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stat(busy=0, steal=0, idle=0)
        self.write("proc/loadavg", "0.50 0.40 0.30 1/100 4242\n")
        self.write("proc/vmstat", "nr_free_pages 5\npswpin 3\npswpout 4\noom_kill 0\n")
        for core in (0, 1):
            self.write(f"{CPU}/cpu{core}/thermal_throttle/core_throttle_count", "7\n")
            self.write(f"{CPU}/cpu{core}/thermal_throttle/package_throttle_count", "0\n")
            self.write(f"{CPU}/cpu{core}/cpufreq/scaling_cur_freq", f"{2000000 + 500000 * core}\n")
        self.write("proc/self/cgroup", "0::/job\n")
        self.write("proc/self/mountinfo", "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw\n")
        self.write("cg/job/cpu.stat", "usage_usec 9\nnr_throttled 2\nthrottled_usec 1500000\n")

    def write(self, file: str, text: str) -> None:
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_text(text)

    def stat(self, busy: int, steal: int, idle: int, other_core: int = 0) -> None:
        """Ticks of core 1; core 0 has `other_core` busy ones."""
        self.write(
            "proc/stat",
            f"cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 {other_core} 0 0 0 0 0 0 0 0 0\n"
            f"cpu1 {busy} 0 0 {idle} 0 0 0 {steal} 0 0\nintr 5 0\n",
        )


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    for module in (noise, memory_cgroup, machine_facts):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    return Kernel(tmp_path)


def noise_between(
    before: noise.Sample, after: noise.Sample, wall: float, **given: Any
) -> dict[str, Any]:
    given = {"own_seconds": 0.0, **given}
    return noise.between(before, replace(after, at=before.at + wall), **given)


def test_a_quiet_window_has_no_marks(kernel: Kernel) -> None:
    before = noise.sample([1])
    kernel.stat(busy=950, steal=5, idle=45)
    found = noise_between(before, noise.sample([1]), 10.0, own_seconds=9.45)
    assert found == {
        "load_start": 0.5, "load_end": 0.5, "others_cores": pytest.approx(0.005),
        "steal_share": pytest.approx(0.005), "throttled": 0, "throttled_seconds": 0.0,
        "swapped_pages": 0, "swapped": False, "frequency_mhz": [2500.0, 2500.0], "marks": [],
    }  # fmt: skip


def test_others_are_what_is_busy_and_not_ours(kernel: Kernel) -> None:
    before = noise.sample([1])
    kernel.stat(busy=1000, steal=0, idle=0)
    found = noise_between(before, noise.sample([1]), 10.0, own_seconds=6.0)
    assert found["others_cores"] == pytest.approx(0.4)
    assert found["marks"] == ["load"]
    assert noise.complaints(found, 1) == [
        "this machine is not quiet: other programs use 0.4 of its 1 cores; times will be noisy"
    ]


def test_other_cores_do_not_count(kernel: Kernel) -> None:
    """Trials side by side have cores of their own: one is no noise to the other."""
    before = noise.sample([1])
    kernel.stat(busy=1000, steal=0, idle=0, other_core=1000)
    alone = noise_between(before, noise.sample([1]), 10.0, own_seconds=10.0)
    assert (alone["others_cores"], alone["marks"]) == (0.0, [])


def test_few_ticks_of_a_short_window_are_no_marks(kernel: Kernel) -> None:
    before = noise.sample([1])
    kernel.stat(busy=60, steal=20, idle=0)
    found = noise_between(before, noise.sample([1]), 0.8)
    assert (found["others_cores"], found["steal_share"], found["marks"]) == (None, None, [])


def test_steal_throttling_and_swapping_are_marks(kernel: Kernel) -> None:
    before = noise.sample([1])
    kernel.stat(busy=0, steal=3, idle=97)
    kernel.write(f"{CPU}/cpu0/thermal_throttle/core_throttle_count", "8\n")
    kernel.write("cg/job/cpu.stat", "nr_throttled 4\nthrottled_usec 2000000\n")
    kernel.write("proc/vmstat", "pswpin 3\npswpout 5\n")
    found = noise_between(before, noise.sample([1]), 1.0)
    assert (found["throttled"], found["throttled_seconds"], found["swapped_pages"]) == (3, 0.5, 1)
    assert found["marks"] == ["steal", "throttled", "swap"]
    assert len(noise.complaints(found, 1)) == 3


def test_a_trial_in_swap_is_marked_though_nothing_moved(kernel: Kernel) -> None:
    sample = noise.sample([1])
    assert noise_between(sample, sample, 5.0, swapped=True)["marks"] == ["swap"]


def test_version_1_of_control_groups_throttles_too(kernel: Kernel) -> None:
    kernel.write("proc/self/cgroup", "1:cpu:/\n")
    kernel.write("sys/fs/cgroup/cpu/cpu.stat", "nr_throttled 9\nthrottled_time 2500000000\n")
    assert noise.sample([1]).throttles == 9 + 14
    assert noise.sample([1]).throttled_seconds == 2.5


def test_a_system_that_tells_nothing_has_no_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (noise, memory_cgroup):
        monkeypatch.setattr(module, "ROOT", tmp_path / "nothing")
    sample = noise.sample()
    found = noise_between(sample, sample, 5.0)
    assert (found["others_cores"], found["frequency_mhz"], found["marks"]) == (None, None, [])


# --- this machine -----------------------------------------------------------------------


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A program at work beside us."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield program
    program.kill()
    program.wait()


@pytest.mark.skipif(not memory.HAS_PROC, reason="needs /proc")
def test_a_program_at_work_is_seen(busy: subprocess.Popen[bytes]) -> None:
    """However slowly it gets on: what keeps it from its core is at work, too."""
    before = noise.sample()
    start = cpu_seconds(busy.pid)
    while cpu_seconds(busy.pid) - start < 0.5 or time.monotonic() - before.at < noise.SHORTEST:
        time.sleep(0.05)
    found = noise.between(before, noise.sample(), own_seconds=0.0)
    assert found["others_cores"] > 0.2
    assert "load" in found["marks"]


@pytest.mark.skipif(not memory.HAS_PROC, reason="needs /proc")
def test_a_trial_beside_a_program_at_work_is_marked(
    job: Callable[..., Job], busy: subprocess.Popen[bytes]
) -> None:
    trial = Supervised(job("stays", timeout=2.5), grace=0.1)
    while (outcome := trial.poll()) is None:
        time.sleep(0.02)
    assert "load" in outcome["noise"]["marks"]
    assert outcome["noise"]["others_cores"] > 0.2


@pytest.mark.skipif(not memory.HAS_PROC, reason="needs /proc")
def test_a_look_at_now_tells_of_it(busy: subprocess.Popen[bytes]) -> None:
    lines: list[str] = []
    while not any("other programs use" in line for line in lines):
        lines = noise.now(0.3)


# --- how a machine is set up -----------------------------------------------------------------


def test_settings_that_disturb_are_named(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel.write(f"{CPU}/cpu0/cpufreq/scaling_governor", "powersave\n")
    kernel.write(f"{CPU}/intel_pstate/no_turbo", "0\n")
    kernel.write(f"{CPU}/smt/active", "1\n")
    kernel.write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")
    kernel.write("proc/meminfo", "SwapTotal: 900000 kB\nSwapFree: 100000 kB\n")
    kernel.write("cg/job/cpu.max", "50000 100000\n")
    kernel.write("proc/self/mountinfo", "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw\n"
                 f"31 1 0:27 / {tmp_path} rw - nfs4 server:/x rw\n")  # fmt: skip
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    found = machine_warnings.warnings(tmp_path / "store")
    for words in ("'powersave'", "turbo is on", "have been throttled", "SMT is on", "0.5 of",
                  "huge pages are 'always'", "of swap are in use", "NUMBA_DISABLE_JIT is set",
                  "network file system (nfs4)"):  # fmt: skip
        assert [words in line for line in found].count(True) == 1, words


def test_a_store_in_memory_or_on_a_full_disk_is_named(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel.write("proc/self/mountinfo", f"31 1 0:27 / {tmp_path} rw - tmpfs tmpfs rw\n")
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 2**20}))
    found = "\n".join(machine_warnings.warnings(tmp_path / "a" / "store"))
    assert "is on tmpfs" in found
    assert "only 1.0 MiB are free" in found
