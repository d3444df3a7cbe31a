"""Suite files of strangers: odd, huge and broken ones. Never a traceback, never a hang."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsebench.cli import main

VALID = """
schema = 1
name = "fuzzed"
title = "A suite"
source = "nowhere"
deviations = ["one"]

[trial]
dataset = "wine"
model = { hidden = [8, 8], activation = { name = "all-relu", alpha = 0.6 }, dropout = 0.1 }
topology = { name = "set", epsilon = 3, zeta = 0.3 }
optimizer = { name = "sgd", learning_rate = 0.01 }
backend = "scipy-csr"
epochs = 2
batch_size = 32
timeout = "2m"
memory_limit = "1GiB"

[grid]
topology = ["dense", { name = "set", epsilon = 3 }]
"model.hidden" = [[8], [16, 16]]
seed = [0, 1]

[quick]
epochs = 1
seed = [0]

[[exclude]]
where = { topology = "dense", "model.hidden" = [8] }
reason = "none"

[[expect]]
where = { topology = "dense" }
status = "timeout"

[[claims]]
text = "a claim"
metric = "test_accuracy"
where = { topology = "set" }
value = 0.9
std = 0.1
n = 3
tolerance = 0.01

[sources.other]
openml = "other"
"""


def toml_value(value: Any) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_character(c) for c in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, dict):
        pairs = (f"{toml_value(str(key))} = {toml_value(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return repr(value)


def _character(c: str) -> str:
    plain = c.isprintable() and c not in '"\\'
    return c if plain else f"\\U{ord(c):08x}"


def toml(document: dict[str, Any]) -> str:
    return "\n".join(f"{toml_value(key)} = {toml_value(item)}" for key, item in document.items())


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = st.sampled_from(
    ["", "set", "wine", "../x", "\x1b[31m", "=1", "nan", "1e999", "dense", "seed", "a" * 3000]
)
NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**62, 2**64, 10**30, -0.0, 1e308, float("inf"), float("nan"), 1e-320, 0.5]
)
LEAVES = st.one_of(TEXT, WORDS, NUMBERS, st.booleans(), st.integers())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(TEXT, WORDS), inner, max_size=3)
    ),
    max_leaves=8,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [path] if path else []
    items = list(value.items()) if isinstance(value, dict) else []
    items = list(enumerate(value)) if isinstance(value, list) else items
    for key, item in items:
        found += paths(item, (*path, key))
    return found


PLACES = paths(tomllib.loads(VALID))


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """The valid suite with one to three places changed, removed, renamed or wrapped."""
    document = copy.deepcopy(tomllib.loads(VALID))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(PLACES))
        parent: Any = document
        try:
            for step in path[:-1]:
                parent = parent[step]
            last = parent[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
        how = draw(st.sampled_from(["change", "remove", "rename", "wrap", "repeat"]))
        if how == "change":
            parent[path[-1]] = draw(VALUES)
        elif how == "remove":
            del parent[path[-1]]
        elif how == "rename" and isinstance(parent, dict):
            parent[draw(st.one_of(TEXT, WORDS))] = parent.pop(path[-1])
        elif how == "wrap":
            parent[path[-1]] = [last] if draw(st.booleans()) else {"name": last}
        elif how == "repeat":
            parent[path[-1]] = [copy.deepcopy(last) for _ in range(draw(st.integers(2, 40)))]
    return document


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """A command line in an empty folder: its code and what it says on stderr."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("STORE", "DATA", "THREADS", "TIMEOUT", "MEMORY_LIMIT"):
        monkeypatch.delenv(f"SPARSEBENCH_{name}", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err
        return int(ended.value.code or 0), said.err

    return run


@settings(
    max_examples=12, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(document=documents(), verb=st.sampled_from(["validate", "plan"]))
def test_odd_suites_end_in_a_line(
    command: Callable[..., tuple[int, str]], document: dict[str, Any], verb: str
) -> None:
    Path("fuzzed.toml").write_text(toml(document), encoding="utf-8")
    code, said = command(verb, "fuzzed.toml")
    assert code in (0, 2, 5), said
    assert "Traceback" not in said
    assert not Path(".sparsebench").exists()
    if code:
        assert len(said.splitlines()) == 1


@settings(
    max_examples=10, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(content=st.one_of(st.binary(max_size=60), TEXT.map(str.encode)))
def test_what_is_no_suite_ends_in_a_line(
    command: Callable[..., tuple[int, str]], content: bytes
) -> None:
    Path("fuzzed.toml").write_bytes(content)
    code, said = command("validate", "fuzzed.toml")
    assert code == 2
    assert said.startswith("error: fuzzed.toml: ")


ODD = {
    "a grid of 10^9": (
        "epochs = 2", "epochs = 2\n[grid]\n"
        + "\n".join(f'"model.x{i}" = {list(range(1000))}' for i in range(3)),
        "1000 x 1000 x 1000 asks for 1,000,000,000 trials, excluded ones included; at most 50,000",
    ),
    "a grid of 10^60": (
        "epochs = 2", "epochs = 2\n[grid]\n"
        + "\n".join(f'"model.x{i}" = {list(range(1000))}' for i in range(20)),
        "20 axes asks for about 10^60 trials",
    ),
    "nested tables": ("epochs = 2", "epochs = " + "{ a = " * 500 + "1" + " }" * 500, "nested too"),
    "nested lists": ("epochs = 2", "epochs = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    "a name with a path": ('name = "small"', 'name = "../../x"', "name: found '../../x'; use"),
    "an absolute name": ('name = "small"', 'name = "/tmp/x"', "name: found '/tmp/x'; use"),
    "a name of dots": ('name = "small"', 'name = ".."', "name: found '..'; use"),
    "a name of two lines": ('name = "small"', 'name = "a\\nb"', "use letters"),
    "a long name": ('name = "small"', f'name = "{"a" * 300}"', "use letters"),
    "an escape in a key": ("epochs = 2", 'epochs = 2\n"\\u001b[2J" = 1', "x1b[2J"),
    "more than 4 MiB": ("epochs = 2", "epochs = 2\n#" + "a" * 2**22, "is larger than 4 MiB"),
}  # fmt: skip

SMALL = """
schema = 1
name = "small"
[trial]
dataset = "wine"
model = { hidden = [8] }
epochs = 2
"""


@pytest.mark.parametrize("what", list(ODD))
@pytest.mark.parametrize("verb", ["validate", "plan", "run"])
def test_hostile_suites_are_refused(
    command: Callable[..., tuple[int, str]], what: str, verb: str
) -> None:
    old, new, message = ODD[what]
    Path("hostile.toml").write_text(SMALL.replace(old, new))
    code, said = command(verb, "hostile.toml")
    assert code == 2
    assert message in said
    assert len(said.splitlines()) == 1
    assert len(said) < 1000
    assert not Path(".sparsebench").exists()


def test_a_title_is_shown_and_never_executed(command: Callable[..., tuple[int, str]]) -> None:
    Path("odd.toml").write_text(SMALL + 'title = "x"\n'.replace("x", "\\u001b]0;owned\\u0007"))
    assert command("validate", "odd.toml")[0] == 2  # trial.title: an unknown key
    odd = 'title = "\\u001b]0;owned\\u0007"\n' + SMALL
    Path("odd.toml").write_text(odd)
    for verb in ("validate", "plan"):
        assert command(verb, "odd.toml")[0] == 0


PLUGIN = """
from sparsebench import hookimpl
open("executed", "w").close()
@hookimpl
def register_suites(add_folder): pass
"""


@pytest.mark.parametrize("how", ["absolute", "dots", "link", "linked folder"])
def test_plugins_of_a_suite_elsewhere_are_not_run_unasked(
    command: Callable[..., tuple[int, str]], tmp_path: Path, how: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "odd.toml").write_text('plugins = ["./code.py"]\n' + SMALL)
    (elsewhere / "code.py").write_text(PLUGIN)
    name = str(elsewhere / "odd.toml")
    if how == "dots":
        name = "../elsewhere/odd.toml"
    elif how == "link":
        Path("odd.toml").symlink_to(elsewhere / "odd.toml")
        Path("code.py").write_text(PLUGIN)
        name = "odd.toml"
    elif how == "linked folder":
        Path("inside").symlink_to(elsewhere)
        name = "inside/odd.toml"
    code, said = command("validate", name)
    assert code == 2
    assert "allow it with --allow-plugins" in said
    assert not Path("executed").exists()
    assert command("validate", name, "--allow-plugins")[0] == 0
    assert Path("executed").exists()
