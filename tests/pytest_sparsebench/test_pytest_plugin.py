"""The plugin in pytest sessions of their own, with trials in real processes."""

from __future__ import annotations

import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import pytest_sparsebench as plugin

from sparsebench.store.store import Store

pytest_plugins = ["pytester"]

ODD = Path(__file__).parents[1] / "run" / "odd_components.py"
HEAVY = ("numpy", "scipy", "pandas", "numba", "matplotlib", "typer", "pydantic", "sparsebench.api")

SUITE = """
schema = 1
name = "tiny"

[trial]
dataset = "odd"
model = "odd"
topology = "odd"
optimizer = "odd"
backend = "odd"
trainer = "fine"
epochs = 2
batch_size = 4
threads = 1
"""
ENDS = """
[grid]
trainer = ["fine", "raises", "nan"]
dataset = ["odd", { name = "odd", missing = true }]

[[exclude]]
where = { "dataset.missing" = true }
unless = { trainer = "fine" }
reason = "one is enough"

[[expect]]
where = { trainer = "nan" }
status = "diverged"
"""
SEEDS = "[grid]\nseed = [0, 1, 2]\n"


@pytest.fixture
def session(pytester: pytest.Pytester, own_cache: Path, monkeypatch: pytest.MonkeyPatch):
    """session(*options): a pytest in a process of its own, with this plugin and no other."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("SPARSEBENCH_STORE", raising=False)

    def run(*options: str):
        return pytester.runpytest_subprocess(
            "-W", "error", "-p", "pytest_sparsebench", *options, timeout=240
        )

    return run


def suite(pytester: pytest.Pytester, more: str = "", name: str = "tiny.toml") -> str:
    (pytester.path / name).write_text(SUITE + more)
    return name


def words(*more: str) -> str:
    return f"--sparsebench-args=--plugin {ODD} --no-plan --no-audit --store store {' '.join(more)}"


def test_it_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester, session) -> None:
    pytester.makepyfile(
        f"""
        import sys

        def test_nothing_heavy_is_imported():
            assert "pytest_sparsebench" in sys.modules
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
        """
    )
    session().assert_outcomes(passed=1)


def test_how_a_trial_ends_decides(pytester: pytest.Pytester, session) -> None:
    pytester.makepyfile("def test_of_another_kind(): assert True")
    name = suite(pytester, ENDS)
    result = session("--sparsebench", name, words(), "-v", "-ra", "--junitxml=out.xml")
    result.assert_outcomes(passed=2, failed=1, xfailed=1, skipped=1)
    assert result.ret == 1
    text = result.stdout.str()
    assert "collected 5 items" in text
    assert "odd.npz is not there; get it with: sparsebench data fetch odd" in text
    assert "the last line" in text
    assert "Traceback" in text
    assert "pytest_sparsebench" not in text.split("short test summary")[0], (
        "no traceback of our own"
    )
    assert "FAILED tiny::trainer=raises dataset=odd - error, ValueError, the last line" in text
    (run,) = Store(pytester.path / "store").runs()
    assert f"next: sparsebench report {run}" in text
    assert len(Store(pytester.path / "store").run(run).records) == 4
    cases = list(ET.parse(pytester.path / "out.xml").getroot().iter("testcase"))
    (fine,) = [case for case in cases if case.get("name") == "trainer=fine dataset=odd"]
    found = {one.get("name"): float(one.get("value", "nan")) for one in fine.iter("property")}
    assert found["net_peak_bytes"] >= 0
    assert float(fine.get("time", "0")) > 0


def test_records_are_reused_and_k_selects(pytester: pytest.Pytester, session) -> None:
    name = suite(pytester, SEEDS)
    session("--sparsebench", name, words(), "-k", "seed and not 2").assert_outcomes(
        passed=2, deselected=1
    )
    again = session("--sparsebench", name, words())
    again.assert_outcomes(passed=3)
    assert "2 of 3 records reused" in again.stdout.str()


def test_x_ends_the_run_at_the_first_failure(pytester: pytest.Pytester, session) -> None:
    name = suite(pytester, SEEDS.replace("seed", "trainer = ['raises']\nseed"))
    result = session("--sparsebench", name, words(), "-x")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    assert "stopping after 1 failures" in result.stdout.str()
    store = Store(pytester.path / "store")
    assert [str(r.status) for r in store.run("latest").records] == ["error"]


def test_only_and_collect_only(pytester: pytest.Pytester, session) -> None:
    pytester.makepyfile("def test_of_another_kind(): assert True")
    name = suite(pytester, SEEDS)
    result = session("--sparsebench", name, words(), "--sparsebench-only", "--collect-only", "-q")
    assert [line for line in result.outlines if line.startswith("tiny::")] == [
        f"tiny::seed={seed}" for seed in range(3)
    ]
    assert "test_of_another_kind" not in result.stdout.str()
    assert not (pytester.path / "store").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--sparsebench", "smoek"], "ERROR: unknown suite 'smoek'. Did you mean 'smoke'?*"),
        (["--sparsebench", "smoke", "--sparsebench-args=--sedes 3"],
         "ERROR: --sparsebench-args: No such option: --sedes*"),
        (["--sparsebench", "smoke", "--sparsebench-args=--debug"],
         "ERROR: --sparsebench-args: --debug is not for pytest*"),
        (["--sparsebench", "smoke", "--sparsebench-args='"],
         "ERROR: --sparsebench-args \"'\": No closing quotation"),
        (["-p", "xdist", "-n", "2", "--sparsebench", "smoke"],
         "ERROR: --sparsebench does not go with pytest-xdist*"),
        (["--sparsebench-only"], "ERROR: --sparsebench-only*add --sparsebench SUITE"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    pytester: pytest.Pytester, monkeypatch, options: list[str], complaint: str
) -> None:
    """In this process: no trial runs."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_inprocess("-p", "pytest_sparsebench", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([complaint])
    assert "Traceback" not in result.stderr.str()


def test_an_install_brings_it() -> None:
    """The entry point that pytest looks for names this module."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"sparsebench": plugin.__name__}
    assert callable(plugin.pytest_addoption)


def test_the_fixture_runs_and_compares(pytester: pytest.Pytester, session) -> None:
    suite(pytester, "[grid]\nseed = [0, 1]\n")
    suite(pytester, "[grid]\ntrainer = ['raises']\n", "bad.toml")
    suite(pytester, "[grid]\ndataset = [{ name = 'odd', missing = true }]\n", "absent.toml")
    pytester.makepyfile(
        f"""
        import pytest

        ODD = {{"plugins": [{str(ODD)!r}], "predict": False, "audit": False}}

        def test_good(sparsebench):
            run = sparsebench.run("tiny.toml", **ODD)
            assert len(run.records) == 2
            assert sparsebench.load(run.id).id == run.id
            found = sparsebench.compare(run, run, min_seeds=2)
            assert found.exit_code == 0

        def test_undecided(sparsebench):
            run = sparsebench.run("tiny.toml", **ODD, seeds=[0])
            other = sparsebench.run("tiny.toml", **ODD, seeds=[1])
            assert sparsebench.compare(run, other, check=False).exit_code == 6
            sparsebench.compare(run, other)

        def test_bad(sparsebench):
            sparsebench.run("bad.toml", **ODD)

        def test_absent(sparsebench):
            sparsebench.run("absent.toml", **ODD)
        """
    )
    result = session("-ra")
    result.assert_outcomes(passed=1, failed=2, skipped=1)
    text = result.stdout.str()
    assert "did not end as its suite expects" in text
    assert "odd.npz is not there" in text
    assert "INCONCLUSIVE" in text
