"""The verbs that run nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from cli_words import Cli

from sparsebench.cli import completion
from sparsebench.discovery import load_plugins
from sparsebench.registry import KINDS, PluginInfo, Plugins, parameter_texts


def test_help_names_every_verb(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    for verb in ("run", "plan", "validate", "prepare", "ls", "show", "logs", "status", "export",
                 "report", "fit", "doctor", "data", "new"):  # fmt: skip
        assert f"\n  {verb} " in done.out
    assert "..." not in done.out.partition("Commands:")[2]  # no sentence is cut
    assert max(map(len, done.out.splitlines())) <= 80
    assert cli("--version").out.strip() == "0.1.0"


def test_the_shell_completes_suites_lists_and_runs(cli: Cli, folder: Path) -> None:
    assert completion.suites("quickstart") == ["quickstart", "quickstart-full"]
    assert completion.suites("tin") == ["tiny.toml"]
    assert completion.lists("topo") == ["topologies"]
    assert completion.runs("l") == ["latest"]
    assert completion.trials("") == []
    assert "--install-completion" in cli("--help").out


def test_usage_errors_end_in_2(cli: Cli) -> None:
    for words in (["runn"], ["run"], ["run", "tiny.toml", "--jobs", "0"],
                  ["run", "tiny.toml", "--rerun", "some"], ["ls", "--format", "xml"]):  # fmt: skip
        assert cli(*words).code == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["plan", "tinny"], "unknown suite 'tinny'."),
        (["plan", "no.toml"], "suite file 'no.toml' does not exist"),
        (["plan", "tiny.toml", "--set", "epochs"], "--set: expected path=value, found 'epochs'"),
        (["plan", "tiny.toml", "--set", "epoch=1"], "tiny.toml: --set epoch: unknown key 'epoch'."),
        (["plan", "tiny.toml", "--seeds", "x"], "--seeds: expected a range 0:5"),
        (["plan", "tiny.toml", "--timeout", "soon"], "--timeout: expected a duration"),
        (["plan", "tiny.toml", "--memory-limit", "8GX"], "--memory-limit: expected a size"),
        (["plan", "tiny.toml", "--plugin", "no.py"], "plugin file "),
        (["run", "tiny.toml", "--executor", "locl"], "unknown executor 'locl'. Did you mean"),
        (["ls", "backend", "nmba-csr"], "unknown backend 'nmba-csr'. Did you mean 'numba-csr'?"),
        (["ls", "suites", "x"], "ls suites: takes no NAME, found 'x'"),
        (["show", "latest"], "no run 'latest' in"),
        (["plan", "tiny.toml", "--seeds", "0,0"], "--seeds: 0 is given twice in '0,0'"),
        (["plan", "tiny.toml", "--set", "checkpoint=often"], "tiny.toml: --set checkpoint: "
         "expected a duration such as '30m'"),
        (["export", "latest", "-o", "x.txt"], "-o x.txt: the ending decides the format, and found "
         "'.txt'. Known: .csv, .json, .parquet"),
        (["report", "latest", "-o", "x.pdf"], "-o x.pdf: the ending decides the format"),
        (["report", "latest", "-o", "report"], "-o report: the ending decides the format, and it "
         "has none"),
        (["export", "latest", "--format", "csv", "-o", "x.json"], "-o x.json: .json is the ending "
         "of json, not of csv"),
        (["export-model", "ab", "-o", "x.pt"], "-o x.pt: the ending decides the format"),
        (["new", "plugin", "class"], "new plugin: 'class' is a word of Python; choose another"),
        (["new", "plugin", "numpy"], "new plugin: 'numpy' makes a module numpy, which would hide"),
        (["new", "plugin", "random"], "new plugin: 'random' makes a module random, which would"),
        (["new", "plugin", "set"], "new plugin: 'set' is a topology of builtin (sparsebench)"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_2(
    cli: Cli, folder: Path, words: list[str], complaint: str
) -> None:
    done = cli(*words)
    assert [file.name for file in folder.iterdir()] == ["tiny.toml"]
    assert done.code == 2
    assert done.err.startswith(f"error: {complaint}")
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_nothing_matched_is_5(cli: Cli) -> None:
    for words in (["plan", "tiny.toml", "-k", "torch"], ["run", "tiny.toml", "-k", "torch"],
                  ["logs", "topology=set seed=7"]):  # fmt: skip
        assert cli(*words).code == 5


def test_our_bugs_keep_their_traceback_and_end_in_70(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**given: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("sparsebench.cli.app", fail)
    done = cli("ls")
    assert done.code == 70
    assert "ZeroDivisionError: oh" in done.err


def test_an_interrupt_ends_in_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sparsebench.cli.ls.load_plugins", interrupt)
    assert cli("ls").code == 130


def test_plan(cli: Cli) -> None:
    done = cli("plan", "tiny.toml", "--json")
    assert [trial["label"] for trial in done.json["trials"]] == [
        "topology=dense seed=0", "topology=dense seed=1", "topology=set seed=0",
        "topology=set seed=1",
    ]  # fmt: skip
    assert len(cli("plan", "tiny.toml", "--quick", "--json").json["trials"]) == 2
    assert len(cli("plan", "tiny.toml", "--seeds", "0:5", "--json").json["trials"]) == 10
    text = cli("run", "tiny.toml", "--dry-run", "-k", "set and seed=1")
    assert text.out.splitlines()[1].split()[1:3] == ["set", "1"]
    assert text.err.startswith("1 trials of tiny; the largest needs at least ")
    assert cli("plan", "tiny.toml", "--format", "md").out.startswith("| trial | topology | seed |")


def test_the_command_line_wins_over_environment_suite_and_config(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(*words: str) -> tuple[int, float]:
        (trial,) = cli("plan", "tiny.toml", "-k", "dense and seed=0", "--json", *words).json[
            "trials"
        ]
        return trial["threads"], trial["timeout"]

    config = folder.parent / "config" / "sparsebench"
    config.mkdir(parents=True)
    (config / "config.toml").write_text("threads = 9\ntimeout = '9m'\n")
    assert planned() == (1, 540)
    monkeypatch.setenv("SPARSEBENCH_THREADS", "2")
    monkeypatch.setenv("SPARSEBENCH_TIMEOUT", "1h")
    assert planned() == (2, 3600)
    assert planned("--threads", "3", "--timeout", "2h") == (3, 7200)
    assert planned("--threads", "3", "--set", "threads=4") == (4, 3600)


def test_config_names_stores(cli: Cli, folder: Path) -> None:
    config = folder.parent / "config" / "sparsebench"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f"store = '{folder}/elsewhere'\njobs = 3\n")
    assert f"no run 'latest' in {folder}/elsewhere" in cli("status").err
    assert cli("doctor", "--json").json["facts"]["store"] == f"{folder}/elsewhere"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stor = 'x'", "stor: unknown key. Did you mean 'store'?"),
        ("store = 5", "store: expected a text, found 5"),
        ("data = ''", "data: expected a text, found ''"),
        ("jobs = 0", "jobs: expected a whole number from 1, found 0"),
        ("jobs = true", "jobs: expected a whole number from 1, found True"),
        ("executor = 1", "executor: expected a text, found 1"),
        ("threads = 'two'", "threads: expected a whole number from 1, found 'two'"),
        ("timeout = 'soon'", "timeout: expected a duration such as '30m', found 'soon'."),
        ("memory_limit = [1]", "memory_limit: expected a size such as '8GiB', found [1]"),
        ("store", "is not TOML in UTF-8: "),
    ],
)
def test_a_faulty_config_is_named_and_stops_neither_help_nor_doctor(
    cli: Cli, folder: Path, text: str, complaint: str
) -> None:
    config = folder.parent / "config" / "sparsebench" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(text)
    verbs = (["plan", "tiny.toml"], ["ls"], ["status"]) if text == "store = 5" else (["status"],)
    for words in verbs:
        done = cli(*words)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"error: {config}: {complaint}")
        assert done.err.count("\n") == 1
    if len(verbs) == 1:
        return
    for words in (["--help"], ["run", "--help"], ["--version"], ["doctor", "--help"]):
        assert cli(*words).code == 0
    doctor = cli("doctor", "--json")
    assert doctor.code == 0
    warnings = [line for line in doctor.json["warnings"] if str(config) in line]
    assert warnings[0].startswith(f"the user config is not used: {config}: {complaint}")
    assert len(warnings) == 1


def test_validate(cli: Cli, folder: Path) -> None:
    assert cli("validate", "tiny.toml").out == "tiny: 4 trials, 2 with --quick\n"
    plain = Path("tiny.toml").read_text().partition("[quick]")[0]
    Path("plain.toml").write_text(plain.replace("[8]", "8"))
    done = cli("validate", "plain.toml")
    assert done.err.endswith("trial.model.hidden: expected a list, found 8; write [8]\n")
    Path("plain.toml").write_text(plain)
    assert cli("validate", "plain.toml").out == "tiny: 4 trials, no [quick]\n"
    assert cli("validate", "tiny.toml", "--json").json["trials"] == 4
    assert cli("validate", "tiny.toml", "--format", "json").json["quick_trials"] == 2
    assert cli("validate", "tiny.toml", "--format", "md").out == (
        "| suite | path | trials | quick_trials | claims | not_runnable_here |\n"
        "|---|---|---|---|---|---|\n"
        "| tiny | tiny.toml | 4 | 2 | 0 | 0 |\n"
    )
    (folder / "bad.toml").write_text("schema = 1\nname = 'bad'\n[trial]\ndataset = 'wine'\n")
    done = cli("validate", "bad.toml")
    assert (done.code, done.err) == (2, "error: bad.toml: trial.model: missing; it is required\n")


@pytest.mark.parametrize("which", ["some", "all"])
def test_every_shipped_suite_is_valid(cli: Cli, which: str) -> None:
    suites = cli("ls", "suites", "--json").json
    assert suites
    for suite in suites:
        assert suite["error"] == ""
        if which == "some" and suite["suite"] not in ("quickstart", "set-2018-rbm", "kernels"):
            continue
        done = cli("validate", suite["suite"])
        assert done.code == 0
        if suite["suite"] not in ("scale", "methods"):  # their --quick is too short for some
            assert "never updated" not in done.err, suite["suite"]


def test_ls(cli: Cli) -> None:
    kinds = {row["kind"]: row for row in cli("ls", "--json").json}
    assert {"backends", "topologies", "losses", "suites", "runs", "plugins"} <= set(kinds)
    assert "set" in kinds["topologies"]["names"]
    rows = cli("ls", "topologies", "--json").json
    assert {"name", "available", "summary", "plugin", "reason"} == set(rows[0])
    parameters = cli("ls", "topologies", "set", "--json").json
    assert {"parameter", "type", "default", "meaning"} == set(parameters[0])
    assert {"parameter": "prune", "type": "pruning", "default": "none"}.items() <= (
        parameters[-1].items()
    )
    activation = {"parameter": "activation", "type": "activation"}.items()
    assert any(activation <= row.items() for row in cli("ls", "models", "mlp", "--json").json)
    assert cli("ls", "plugins", "--json").json[0]["plugin"] == "builtin"
    empty = cli("ls", "runs")
    assert (empty.code, empty.out, empty.err) == (0, "", "no runs\n")
    assert cli("ls", "datasets", "--format", "md").out.startswith("| name |")


def test_every_parameter_of_every_component_is_documented() -> None:
    plugins = load_plugins()
    for kind in KINDS:
        for entry in plugins[kind]:
            cls: Any = entry.parameters()
            names = {field.name for field in dataclasses.fields(cls) if field.init}
            assert names <= set(parameter_texts(cls)), f"{kind} {entry.name}"


def test_the_meaning_of_a_parameter_is_read_from_docstrings() -> None:
    @dataclasses.dataclass
    class Base:
        """alpha  how much,
        and how often
        """

        alpha: float = 0.0

    @dataclasses.dataclass
    class Parameters(Base):
        """A method.

        beta   the rest;
               none: all
        gamma  is no parameter

        Prose  with two spaces.
        """

        beta: float | None = None

    assert parameter_texts(Parameters) == {"alpha": "how much,", "beta": "the rest; none: all"}


def test_doctor_always_ends_well(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (7.0, 7.0, 7.0))
    done = cli("doctor", "--json")
    assert done.code == 0
    assert done.json["facts"]["load_average"] == 7.0
    assert any("load average is 7.0" in line for line in done.json["warnings"])
    assert "warning: the load average" in cli("doctor").out
    assert "threadpoolctl" in done.json["facts"]
    md = cli("doctor", "--format", "md").out
    assert all(line.startswith("|") for line in md.splitlines() if line)
    assert "\n\n| warning |\n|---|\n" in md


ABSENT = """
from dataclasses import dataclass

from sparsebench import hookimpl


@hookimpl
def register_backends(register):
    register("absent", "no_such_module:Backend", params=f"{__name__}:Params",
             requires=("no_such_module",), summary="needs what is not there")


@dataclass(frozen=True)
class Params:
    pass
"""


def test_what_is_not_installed_is_listed_with_its_reason(cli: Cli, folder: Path) -> None:
    (folder / "absent.py").write_text(ABSENT)
    rows = cli("ls", "backends", "--plugin", "absent.py", "--json").json
    (row,) = [row for row in rows if row["name"] == "absent"]
    assert (row["available"], row["reason"]) == ("no", "needs no_such_module, not installed")
    overview = cli("ls", "--plugin", "absent.py")
    lines = [line.split(maxsplit=2) for line in overview.out.splitlines()]
    assert ["backends", "absent", "needs no_such_module, not installed"] in lines
    assert "\n\n| kind | unavailable | reason |\n" in (
        cli("ls", "--plugin", "absent.py", "--format", "md").out
    )
    kinds = {row["kind"]: row for row in cli("ls", "--plugin", "absent.py", "--json").json}
    assert kinds["backends"]["unavailable"]["absent"] == row["reason"]
    plan = cli("plan", "tiny.toml", "--plugin", "absent.py", "--set", "backend=absent", "--json")
    assert plan.json["trials"][0]["note"] == (
        "unsupported: backend 'absent' needs no_such_module, not installed"
    )


NESTED = """
from dataclasses import dataclass

from sparsebench import hookimpl


@dataclass(frozen=True)
class Params:
    pass


@hookimpl
def register_activations(register):
    register("absent", "no_such_module:A", params=Params, requires=("no_such_module",))
"""


def test_a_nested_component_that_is_not_installed_is_reported_before_the_run(
    cli: Cli, folder: Path
) -> None:
    (folder / "absent.py").write_text(NESTED)
    suite = (folder / "tiny.toml").read_text().replace("'relu'", "relu")
    suite = suite.replace('activation = "relu"', 'activation = "absent"')
    (folder / "tiny.toml").write_text(suite)
    reason = "unsupported: activation 'absent' needs no_such_module, not installed"
    planned = cli("plan", "tiny.toml", "--plugin", "absent.py", "--json").json["trials"]
    assert {trial["note"] for trial in planned} == {reason}
    done = cli("validate", "tiny.toml", "--plugin", "absent.py")
    assert done.code == 0
    assert done.err.splitlines() == [
        f"note: 4 trials {reason}",
        "note: in 1 trials with --quick the topology (set) is never updated: too few epochs or "
        "steps",
    ]
    assert cli("prepare", "tiny.toml", "--plugin", "absent.py").code == 5


def test_the_overview_names_what_did_not_load(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*given: object) -> Plugins:
        return Plugins(infos=[PluginInfo("mine", "my-package", error="ImportError: no")])

    monkeypatch.setattr("sparsebench.cli.ls.load_plugins", load)
    last = cli("ls").out.splitlines()[-1]
    assert last.split(maxsplit=2) == ["plugins", "mine", "ImportError: no"]
