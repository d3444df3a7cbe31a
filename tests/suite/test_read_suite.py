from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from suite_files import HEAD, Write

from sparsebench.errors import PluginError, SuiteError
from sparsebench.registry import Plugins
from sparsebench.suite.expand import expand
from sparsebench.suite.suite import Claim, Suite, find_suite, load_suite, read_suite

FULL = """
schema     = 1
name       = "full"
title      = "A title"
source     = "A paper"
deviations = ["one"]
plugins    = ["./mine.py"]

[trial]
dataset = "toy"
model = { hidden = [10] }
epochs = 2

[grid]
seed = [0, 1]

[quick]
epochs = 1

[[exclude]]
where = { seed = 1 }
reason = "why not"

[[expect]]
where = { seed = 0 }
status = "out-of-memory"

[[claims]]
text = "it learns"
metric = "test_accuracy"
where = { topology = "dense" }
value = 0.88
std = 0.01
n = 5
tolerance = 0.01
source = "table 2"

[sources.rare]
openml = "1234"
train = 100
"""


def test_a_full_suite_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    file = tmp_path / "full.toml"
    file.write_text(FULL)
    suite = read_suite(file)
    assert suite.title == "A title"
    assert suite.deviations == ("one",)
    assert suite.plugins == (tmp_path / "mine.py",)
    assert suite.text == FULL
    assert suite.excludes[0].reason == "why not"
    assert suite.expects[0].status == "out-of-memory"
    assert suite.claims == (
        Claim(text="it learns", metric="test_accuracy", where={"topology": "dense"}, value=0.88,
              std=0.01, n=5, tolerance=0.01, source="table 2"),
    )  # fmt: skip
    assert suite.sources == {"rare": {"openml": "1234", "train": 100}}


@pytest.mark.parametrize("file", sorted(Path("suites").glob("*.toml")), ids=lambda file: file.stem)
def test_a_suite_that_ships_asks_a_question_and_claims_with_a_source(file: Path) -> None:
    """Of a published time it says what else differs beside the machine, of an accuracy what the
    trials have to be."""
    suite = read_suite(file)
    assert suite.question.endswith("?")
    for claim in suite.claims:
        assert claim.source
        assert "abstract" not in claim.source
        if claim.value is not None:
            assert claim.n is not None
            if "seconds" in claim.metric:
                assert claim.conditions, claim.text
            if "accuracy" in claim.metric:
                assert claim.requires or "epochs" in claim.where, claim.text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "schema: missing; write schema = 1"),
        ("schema = 2", "schema: found 2; this sparsebench reads 1: install a newer one"),
        ("schema = '1'", "schema: expected the number 1, found '1'"),
        ("schema = 1", "name: missing; it is required"),
        ("schema = 1\nname = 3", "name: expected a text, found 3"),
        ("schema = 1\nname = 'a b'", "name: found 'a b'; use letters, digits"),
        ("schema = 1\nname = 'a'", "trial: missing; it is required"),
        ("schema = 1\nname = 'a'\ntrial = 3", "trial: expected a table, found 3"),
        ("schema = 1\nname = 'a'\n[trial]", "trial.dataset: missing; it is required"),
        ("x = 1\nx = 2", "is not TOML in UTF-8: Cannot overwrite a value "),
    ],
)
def test_what_a_suite_needs(suite: Write, text: str, complaint: str) -> None:
    with pytest.raises(SuiteError) as error:
        suite(text, head="")
    assert str(error.value).startswith(f"small.toml: {complaint}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[gird]", "gird: unknown key. Did you mean 'grid'? Known: case, claims, deviations"),
        ("trial.epoch = 3", "trial.epoch: unknown key 'epoch'. Did you mean 'epochs'? Known"),
        ("grid.sed = [1]", "grid.sed: unknown key 'sed'. Did you mean 'seed'? Known"),
        ("[grid]\n'seed.x' = [1]", 'grid."seed.x": unknown key \'seed.x\': only components'),
        ("grid.prune = ['a']", "grid.prune: unknown key 'prune'. Known: backend"),
        ("grid.seed = 1", "grid.seed: expected a list, one trial each; found 1"),
        ("grid.seed = []", "grid.seed: found an empty list; an axis needs a value"),
        ("grid.seed = [inf]", "grid.seed[0]: expected a finite number, found inf"),
        ("grid.seed = [1979-05-27]", "grid.seed[0]: expected a text, number, list or table"),
        ("trial.seed = 99999999999999999999", "trial.seed: found a number that does not fit"),
        ("quick.epoch = 1", "quick.epoch: unknown key 'epoch'. Did you mean 'epochs'?"),
        ("deviations = 'no'", "deviations: expected a list of texts, found 'no'"),
        ("plugins = ['no.py']", "plugins[0]: found 'no.py', no file"),
        ("exclude = 3", "exclude: expected tables, [[exclude]]; found 3"),
        ("[[exclude]]", "exclude[0].where: missing; it is required"),
        ("[[exclude]]\nwere = 1", "exclude[0].were: unknown key. Did you mean 'where'?"),
        ("[[exclude]]\nwhere.tpology = 'set'", "exclude[0].where.tpology: unknown key 'tpology'. "
         "Did you mean 'topology'?"),
        ("[[expect]]\nwhere = {}\nstatus = 'oom'", "expect[0].status: unknown status 'oom'. "),
        ("[[claims]]\nmetric = 'density'\ntext = ''\nwhere = {}",
         "claims[0]: a claim needs `against` or `value`, found neither"),
        ("sources.x = {}", "sources.x: say where to get it"),
        ("sources.x.note = ''", "sources.x: say where to get it"),
        ("sources.x = {note = 'y', train = 3}", "sources.x.train: so many first rows of openml"),
        ("sources.x = {openml = 'y', train = 0}", "sources.x.train: expected a whole number "),
        ("sources.x.url = 'y'", "sources.x.url: unknown key. Known: note, openml"),
    ],
)  # fmt: skip
def test_complaints(suite: Write, text: str, complaint: str) -> None:
    with pytest.raises(SuiteError) as error:
        suite(text)
    assert str(error.value).startswith(f"small.toml: {complaint}"), str(error.value)
    assert "\n" not in str(error.value)


LINES = ("schema = 1", "name = 'x'", "[trial]", "dataset = 'toy'", "model = {hidden = [1]}",
         "epochs = 1", "[grid]", "[quick]", "seed = [0]", "seed = 0", "[[claims]]", "[[expect]]",
         "where = {seed = 0}", "'model.hidden' = [[1], [2]]", "'model.x.y' = [1]",
         "topology = {name = 'set', prune = 3}", "'topology.prune.start' = [1]", "backend = []",
         "timeout = '3x'", "threads = true", "validation = 1e400", "dataset = [1]",
         "[sources.x]", "'trial.x' = 1", "model = 1", "[[exclude]]", "reason = ''")  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.text(alphabet=st.characters(exclude_categories=[]))
    | st.lists(st.sampled_from(LINES), max_size=12).map("\n".join)
    | st.lists(st.sampled_from(LINES), max_size=6).map(lambda lines: HEAD + "\n".join(lines))
)
@example("a = " + "[" * 5000)
@example("trial = " + "{a=" * 3000)
@example(".".join("a" * 2000) + " = 1")
@example("schema = " + "9" * 5000)
@example("schema = 1\nname = 'x'\nplugins = ['\\u0000', \"\\u0000\"]")
def test_any_text_gives_a_suite_or_one_line(plugins: Plugins, tmp_path: Path, text: str) -> None:
    file = tmp_path / "any.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        suite = read_suite(file)
        expand(suite, plugins, data_dir=tmp_path)
    except SuiteError as error:
        lines = str(error).splitlines()
    else:
        lines = ["no complaint"]
        assert isinstance(suite, Suite)
    assert len(lines) == 1


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "bytes.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match=r"bytes\.toml: is not TOML in UTF-8"):
        read_suite(file)


def test_suites_are_found_by_name_or_path(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "both.toml").write_text("")
    (one / "smoke.toml").write_text("")
    assert find_suite("smoke", [one, two]) == one / "smoke.toml"
    assert find_suite(str(one / "smoke.toml"), []) == one / "smoke.toml"
    with pytest.raises(SuiteError, match=r"unknown suite 'smok'. Did you mean 'smoke'?"):
        find_suite("smok", [one, two])
    with pytest.raises(SuiteError, match=r"suite 'both' is in .*one and in .*two: give its path"):
        find_suite("both", [one, two])
    with pytest.raises(SuiteError, match=r"suite file 'no/such.toml' does not exist"):
        find_suite("no/such.toml", [one])
    with pytest.raises(SuiteError, match="cannot be read"):
        read_suite(tmp_path)


def test_a_suite_from_elsewhere_runs_no_code_unless_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins: Plugins
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (there / "proof.py").write_text("raise RuntimeError('ran')")
    file = there / "x.toml"
    file.write_text(HEAD.replace("trial.dataset", "plugins = ['proof.py']\ntrial.dataset", 1))
    monkeypatch.chdir(here)
    with pytest.raises(SuiteError, match="allow it with --allow-plugins"):
        load_suite(file)
    with pytest.raises(PluginError, match="RuntimeError: ran"):
        load_suite(file, allow_plugins=True)
    monkeypatch.chdir(there)
    with pytest.raises(PluginError, match="RuntimeError: ran"):
        load_suite("x.toml")
