"""What a run says of where it came from, and what it does not."""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scipy.io
import scipy.sparse

from sparsebench.core.trial import Trial
from sparsebench.core.worker.attempt import measured
from sparsebench.core.worker.meter import Meter
from sparsebench.registry import Plugins
from sparsebench.run import machine_facts, memory_cgroup
from sparsebench.run.options import Options
from sparsebench.run.session import run_trials
from sparsebench.store import provenance
from sparsebench.suite.suite import Suite

MakeTrial = Callable[..., Trial]

SECRET = "hunter2hunter2"


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


@pytest.fixture
def someone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Words that must be nowhere in a store."""
    monkeypatch.setenv("HOME", str(tmp_path / "home-of-someone"))
    monkeypatch.setenv("USER", "someone-else")
    monkeypatch.setattr(platform, "node", lambda: "my-own-host")
    for name in ("SPARSEBENCH_TOKEN", "OMP_API_KEY", "DATABASE_PASSWORD", "UNRELATED"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("SPARSEBENCH_SCRATCH", "/scratch/someone-else/x")
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    return ["home-of-someone", "someone-else", "my-own-host", SECRET]


def run(options: Options, odd: Plugins, suite: Suite, trial: MakeTrial) -> Path:
    trials = [trial("fine"), trial("raises"), trial("fine", dataset={"name": "odd"}, seed=1)]
    summary = run_trials(suite, trials, odd, options)
    return options.store / "runs" / summary.run


def test_a_store_names_nobody(
    options: Options, odd: Plugins, suite: Suite, trial: MakeTrial, someone: list[str]
) -> None:
    home = Path.home()
    argv = ("sparsebench", "run", f"{home}/x.toml", "/data/someone-else/y", "--on", "my-own-host")
    folder = run(replace(options, argv=argv), odd, suite, trial)
    files = [file for file in options.store.rglob("*.json*") if file.is_file()]
    assert {file.name for file in files} >= {"manifest.json", "spec.json", "outcome.json",
                                             "events.jsonl"}  # fmt: skip
    for file in files:
        for word in someone:
            assert word not in file.read_text(), (file, word)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["argv"] == [
        "sparsebench", "run", "~/x.toml", "/data/<user>/y", "--on", "<host>"
    ]  # fmt: skip
    assert manifest["surroundings"]["environment"]["SPARSEBENCH_SCRATCH"] == "<path>"
    assert manifest["surroundings"]["environment"]["NUMBA_CPU_NAME"] == "generic"
    assert "identity" not in manifest


def test_who_asks_for_it_is_named(
    options: Options, odd: Plugins, suite: Suite, trial: MakeTrial, someone: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SPARSEBENCH_MACHINE", "the quiet one")
    folder = run(replace(options, identify=True), odd, suite, trial)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["identity"] == {"host": "my-own-host", "machine": "the quiet one"}
    assert manifest["machine"]["id"] == "the quiet one"


def test_a_manifest_tells_what_a_number_depends_on(
    options: Options, odd: Plugins, suite: Suite, trial: MakeTrial
) -> None:
    folder = run(options, odd, suite, trial)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["versions"]) >= {"sparsebench", "numpy", "scipy", "numba", "llvmlite",
                                         "typer", "pydantic", "pandas"}  # fmt: skip
    assert set(manifest["interpreter"]) == {"python", "implementation", "compiler", "flags"}
    assert manifest["data"] == [{"name": "odd"}]
    around = manifest["surroundings"]
    assert set(around) == {"processor", "memory", "system", "container", "environment",
                           "store_filesystem", "moment"}  # fmt: skip
    assert around["processor"]["affinity"]
    assert around["memory"]["total_bytes"] > 0
    first, last = around["moment"], events(folder)[-1]
    assert last["event"] == "ended"
    assert last["moment"]["monotonic_seconds"] > first["monotonic_seconds"]
    assert last["moment"]["utc"] > first["utc"]
    assert {"load_average", "steal_seconds", "throttles"} <= set(last["moment"])
    assert any(pool["internal_api"] for pool in last["threadpools"])


def test_the_boot_is_distinguished_and_not_recorded() -> None:
    file = Path("/proc/sys/kernel/random/boot_id")
    if not file.exists():
        pytest.skip("no boot id here")
    known = machine_facts.surroundings(Path())
    assert known["system"]["boot"]
    assert file.read_text().strip() not in json.dumps(known)


def test_variables_are_on_a_list() -> None:
    given = {
        "OMP_NUM_THREADS": "4", "MKL_CBWR": "AVX2", "PATH": "/bin", "LC_ALL": "C",
        "MALLOC_ARENA_MAX": "2", "SPARSEBENCH_SECRET_NAME": "x", "NUMBA_CACHE_DIR": "~/cache",
    }  # fmt: skip
    assert machine_facts.environment(given) == {
        "MALLOC_ARENA_MAX": "2", "MKL_CBWR": "AVX2", "NUMBA_CACHE_DIR": "<path>",
        "OMP_NUM_THREADS": "4",
    }  # fmt: skip


def test_the_facts_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "proc/cpuinfo": "processor: 0\nmodel name : Fast One\nflags : sse avx\nmicrocode : 0x1\n",
        "proc/meminfo": "SwapTotal: 10 kB\nSwapFree: 4 kB\n",
        "proc/sys/vm/overcommit_memory": "1\n",
        "proc/sys/kernel/randomize_va_space": "2\n",
        "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0-1\n",
        "sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "0-1\n",
        "sys/devices/system/cpu/cpufreq/boost": "1\n",
        "sys/devices/system/cpu/smt/active": "1\n",
        "sys/devices/system/cpu/vulnerabilities/meltdown": "Not affected\n",
        "sys/devices/system/cpu/vulnerabilities/spectre_v1": "Mitigation: barriers\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "sys/class/thermal/thermal_zone0/temp": "48500\n",
        "proc/self/cgroup": "0::/job\n",
        "proc/self/mountinfo": "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw\n",
        "cg/job/cpu.max": "150000 100000\n",
        "cg/job/memory.max": "4096\n",
        ".dockerenv": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for module in (machine_facts, memory_cgroup):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    known = machine_facts.surroundings(Path("/somewhere"))
    processor, held = known["processor"], known["memory"]
    assert (processor["model"], processor["physical"], processor["microcode"]) == (
        "Fast One", 1, "0x1",
    )  # fmt: skip
    assert (processor["turbo"], processor["smt"]) == (True, True)
    assert processor["mitigations"] == {"spectre_v1": "Mitigation: barriers"}
    assert (held["swap_bytes"], held["swap_used_bytes"], held["overcommit"]) == (10240, 6144, "1")
    assert held["transparent_hugepage"] == "madvise"
    assert known["system"]["aslr"] == "2"
    assert known["container"] == {
        "kind": "docker", "cpu.max": "150000 100000", "memory.max": "4096"
    }  # fmt: skip
    assert known["moment"]["temperature_celsius"] == [48.5]


def test_text_without_persons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setattr(platform, "node", lambda: "box-7.lab")
    assert provenance.impersonal("/home/ann/x") == "~/x"
    assert provenance.impersonal("/scratch/ann/anna/ann.txt") == "/scratch/<user>/anna/ann.txt"
    assert provenance.impersonal("no route to box-7.lab: ann") == "no route to <host>: ann"
    monkeypatch.setattr(platform, "node", lambda: "vm")
    assert provenance.impersonal("/proc/sys/vm") == "/proc/sys/vm"


def test_the_reader_of_matrix_market_is_no_pool() -> None:
    """It registers itself as one when it is imported, with a function as its version."""
    file = io.BytesIO()
    scipy.io.mmwrite(file, scipy.sparse.eye_array(3))
    pools = measured(Meter())["settings"]["blas"]
    assert json.loads(json.dumps(pools)) == pools
    assert {pool["internal_api"] for pool in pools}
    assert "scipy_mmio" not in {pool["internal_api"] for pool in pools}
