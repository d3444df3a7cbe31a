from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from suite_files import Expand, Write

from sparsebench.cores_and_threads import usable_cores
from sparsebench.errors import DataError, MissingData, NothingMatched, SuiteError
from sparsebench.registry import Plugins
from sparsebench.suite.expand import expand, parse_seeds, parse_setting
from sparsebench.suite.labels import label
from sparsebench.suite.selectors import select


def test_defaults(trials: Expand) -> None:
    (trial,) = trials()
    assert trial.dataset == {"name": "toy", "samples": 10}
    assert trial.data == {"checksum": "a"}
    assert trial.model == {
        "name": "mlp", "hidden": [10], "activation": {"name": "leaky", "alpha": 0.1},
        "dropout": 0.0,
    }  # fmt: skip
    assert trial.topology == {"name": "dense", "prune": None}
    assert (trial.optimizer["name"], trial.trainer["name"]) == ("sgd", "sequential")
    assert trial.backend == {"name": "numba-csr"}
    assert (trial.epochs, trial.batch_size, trial.seed) == (2, 128, 0)
    assert trial.threads == len(usable_cores())
    assert (trial.suite, trial.axes, trial.timeout) == ("small", {}, None)


def test_limits_in_their_units(trials: Expand) -> None:
    (trial,) = trials("trial.timeout='30m'\ntrial.memory_limit='8GiB'")
    assert (trial.timeout, trial.memory_limit) == (1800, 8 * 2**30)
    assert trial.id == trials()[0].id


def test_a_grid_is_multiplied_out_last_axis_fastest(trials: Expand) -> None:
    found = trials("grid.backend = ['numba-csr', 'dense-mask']\ngrid.seed = [0, 1]")
    assert [(t.backend["name"], t.seed) for t in found] == [
        ("numba-csr", 0), ("numba-csr", 1), ("dense-mask", 0), ("dense-mask", 1),
    ]  # fmt: skip
    assert found[1].axes == {"backend": "numba-csr", "seed": 1}
    assert label(found[1]) == "backend=numba-csr seed=1"
    assert found[0].cell == found[1].cell
    assert found[0].cell != found[2].cell


def test_a_grid_value_replaces_the_whole_component(trials: Expand) -> None:
    found = trials("trial.topology = {name='set', zeta=0.1}\ngrid.topology = ['dense', 'set']")
    assert [t.topology for t in found] == [
        {"name": "dense", "prune": None},
        {"name": "set", "epsilon": 20.0, "zeta": 0.3, "prune": None},
    ]


def test_a_dotted_key_changes_one_parameter(trials: Expand) -> None:
    text = """
    grid."model.hidden" = [[10, 10], [20]]
    grid.model = [{ hidden = [1], dropout = 0.5 }, { hidden = [1] }]
    """
    assert [(t.model["hidden"], t.model["dropout"]) for t in trials(text)] == [
        ([10, 10], 0.5), ([10, 10], 0.0), ([20], 0.5), ([20], 0.0),
    ]  # fmt: skip
    (a, b) = trials("[grid]\n'model.activation.alpha' = [0.2, 0.4]")
    assert a.model["activation"] == {"name": "leaky", "alpha": 0.2}
    assert b.axes == {"model.activation.alpha": 0.4}


def test_a_table_without_a_name_has_the_default_name(trials: Expand) -> None:
    found = trials("grid.model = [{hidden = [1]}, {hidden = [2]}]")
    assert [t.axes["model"]["name"] for t in found] == ["mlp", "mlp"]


def test_pruning_is_a_component_of_its_own(trials: Expand) -> None:
    text = """
    grid.topology = ["set", { name = "set", prune = { name = "importance", start = 5 } }]
    """
    a, b = trials(text)
    assert a.topology["prune"] is None
    assert b.topology["prune"] == {"name": "importance", "start": 5, "percentile": 10.0}
    assert label(b) == "topology=set + importance"
    a, b = trials("[grid]\n'topology.prune' = ['', 'importance']")
    assert a.topology["prune"] is None
    assert b.topology["prune"]["start"] == 200
    with pytest.raises(SuiteError, match=r"prune\.strt: pruning 'importance' has no such"):
        trials("trial.topology = {name='set', prune={name='importance', strt=3}}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("trial.topology = 'sett'", "trial.topology.name: unknown topology 'sett'. Did you mean "
         "'set'? Known: dense, set"),
        ("grid.topology = ['dense', {name = 'set', zta = 1}]",
         "grid.topology[1].zta: topology 'set' has no such parameter. Did you mean 'zeta'?"),
        ("[grid]\ntopology = ['dense', 'set']\n'topology.zeta' = [0.1]",
         "grid.\"topology.zeta\"[0]: topology 'dense' has no such parameter. Known: prune; an axis "
         "of [grid] is for every trial: write it in the tables of the components that have it"),
        ("[grid]\n'model.hidden' = [['x']]", 'grid."model.hidden"[0][0]: '),
        ("trial.topology = {name='set', zeta=2.0}", "trial.topology: zeta must lie in [0, 1)"),
        ("trial.backend = ['numba-csr']", "trial.backend: found ['numba-csr']; a list means one "
         "trial each only in [grid]"),
        ("trial.seed = [1, 2]", "trial.seed: found [1, 2]; a list means one trial each only in"),
        ("trial.optimizer = {learning_rate = [0.1, 0.2]}", "trial.optimizer.learning_rate: "),
        ("trial.optimizer = 3", "trial.optimizer: expected a optimizer name or a table with"),
        ("trial.topology = {name='set', prun='importance'}", "trial.topology.prun: topology "
         "'set' has no such parameter. Did you mean 'prune'? Known: epsilon, prune, zeta"),
        ("trial.checkpoint = 'often'", "trial.checkpoint: expected a duration such as '30m'"),
        ("trial.checkpoint = 0", "trial.checkpoint: expected a duration such as '30m', more than"),
        ("trial.keep_model = 'yes'", "trial.keep_model: expected true or false, found 'yes'"),
        ("trial.batch_size = 0", "trial.batch_size: expected a whole number from 1, found 0"),
        ("trial.seed = true", "trial.seed: expected a whole number from 0, found True"),
        ("grid.timeout = ['3 years']", "grid.timeout[0]: expected a duration such as '30m'"),
        ("trial.validation = 1.0", "trial.validation: expected a share from 0 to less than 1"),
        ("trial.huge_pages = 1", "trial.huge_pages: expected true or false, found 1"),
        ("grid.dataset = ['toi']", "grid.dataset[0].name: unknown dataset 'toi'. Did you mean"),
        ("grid.seed = [1, 1]", "grid: two trials are the same: 'seed=1' and 'seed=1'"),
        ("grid.retries = [1, 2]", "grid: two trials are the same: 'retries=1' and 'retries=2'"),
        ("[[exclude]]\nwhere.seed = 1", "exclude[0].where: matches no trial: {'seed': 1}. For "
         "seed: Known: 0"),
        ("[[expect]]\nwhere.topology = 'set'\nstatus = 'error'", "expect[0].where: matches no"),
        ("[[exclude]]\nwhere = {'model.hiden' = [1]}",
         'exclude[0].where."model.hiden": no trial has this parameter. Did you mean '
         "'model.hidden'?"),
        ("grid.seed=[0,1]\n[[exclude]]\nwhere.seed=1\n[[expect]]\nwhere.seed=1\nstatus='error'",
         "expect[0].where: matches excluded trials only"),
        ("[[claims]]\ntext=''\nmetric='density'\nwhere={}\nagainst={seed=3}",
         "claims[0].against: matches no trial"),
        ("[[claims]]\ntext=''\nmetric='density'\nwhere={}\nvalue=1\nrequires={'model.hiden'=[1]}",
         'claims[0].requires."model.hiden": no trial has this parameter. Did you mean'),
    ],
)  # fmt: skip
def test_complaints_name_file_key_and_what_is_known(
    trials: Expand, text: str, complaint: str
) -> None:
    with pytest.raises(SuiteError) as error:
        trials(text)
    assert str(error.value).startswith(f"small.toml: {complaint}"), str(error.value)
    assert "\n" not in str(error.value)


def test_a_claim_may_require_what_no_trial_is(trials: Expand) -> None:
    claim = "[[claims]]\ntext=''\nmetric='density'\nwhere={}\nvalue=1\nrequires={epochs=200}"
    assert len(trials(claim)) == 1


def test_a_list_for_a_scalar_parameter_points_to_the_grid(trials: Expand) -> None:
    with pytest.raises(SuiteError, match=r"only in \[grid\]$"):
        trials("trial.optimizer = {learning_rate = [0.1, 0.2]}")


def test_excluded_trials_are_left_out(trials: Expand) -> None:
    assert [t.seed for t in trials("grid.seed=[0,1,2]\n[[exclude]]\nwhere.seed=1")] == [0, 2]


QUICK = """
grid.seed = [0, 1]
grid.backend = ["numba-csr", "dense-mask"]
grid."model.hidden" = [[10], [20]]
[quick]
seed = [7]
epochs = 1
backend = "dense-mask"
"model.hidden" = [[5]]
"optimizer.learning_rate" = 0.5
[[exclude]]
where = { backend = "numba-csr", seed = 1 }
"""


def test_quick_replaces_axes_by_lists_and_sets_all_else(trials: Expand) -> None:
    (trial,) = trials(QUICK, quick=True)
    assert trial.axes == {"seed": 7, "model.hidden": [5]}
    assert (trial.epochs, trial.backend["name"]) == (1, "dense-mask")
    assert trial.optimizer["learning_rate"] == 0.5
    (trial,) = trials("quick.seed = [3]", quick=True)
    assert trial.seed == 3


def test_settings_win_over_quick_and_remove_axes(trials: Expand) -> None:
    found = trials(QUICK, quick=True, settings={"backend": "numba-csr", "epochs": 9})
    assert [(t.backend["name"], t.epochs) for t in found] == [("numba-csr", 9)]
    found = trials(QUICK, settings={"model": {"hidden": [3]}, "seed": 1})
    assert [t.model["hidden"] for t in found] == [[3]]
    assert found[0].axes == {"backend": "dense-mask"}


def test_a_setting_below_an_axis_applies_to_all_of_it(trials: Expand) -> None:
    text = "grid.topology = ['set', {name='set', zeta=0.5}]"
    found = trials(text, settings={"topology.epsilon": 5})
    assert [(t.topology["epsilon"], t.topology["zeta"]) for t in found] == [(5, 0.3), (5, 0.5)]


def test_bad_settings_are_reported_by_their_name(trials: Expand) -> None:
    for settings, complaint in (
        ({"topolgy": "set"}, "--set topolgy: unknown key 'topolgy'. Did you mean 'topology'?"),
        ({"topology": {"name": "set", "zeta": 3}}, "--set topology: zeta must lie in"),
        ({"seed": [1, 2]}, "--set seed: found [1, 2]; a list means one trial each only in [grid]"),
        ({"optimizer.learning_rate": float("nan")}, "--set optimizer.learning_rate: expected a"),
    ):
        with pytest.raises(SuiteError) as error:
            trials(settings=settings)
        assert str(error.value).startswith(f"small.toml: {complaint}")


def test_seeds_replace_the_seed_axis(trials: Expand) -> None:
    assert [t.seed for t in trials("grid.seed = [8, 9]", seeds=[0, 1, 2])] == [0, 1, 2]
    assert [t.seed for t in trials("trial.seed = 4", seeds=parse_seeds("1"))] == [1]
    with pytest.raises(SuiteError, match="--set seed: --seeds is given too"):
        trials(seeds=[1], settings={"seed": 3})


def test_where_is_not_judged_on_a_part_of_the_suite(trials: Expand) -> None:
    text = "grid.seed=[0,1]\n[[exclude]]\nwhere.seed=1\n[quick]\nseed=[0]"
    for options in ({"quick": True}, {"seeds": [0]}, {"settings": {"seed": 0}}):
        assert [t.seed for t in trials(text, **options)] == [0]


def test_parse_seeds() -> None:
    assert parse_seeds("0:5") == [0, 1, 2, 3, 4]
    assert parse_seeds("0,3,7") == [0, 3, 7]
    assert parse_seeds("0:2, 5") == [0, 1, 5]
    with pytest.raises(SuiteError, match="--seeds: 3 is given twice in '0:5,3'"):
        parse_seeds("0:5,3")
    for text in ("", "a", "1:", "5:5", "-1", "0:999999999", "1,,2", "9" * 5000, "0,0"):
        with pytest.raises(SuiteError, match="--seeds: "):
            parse_seeds(text)


def test_parse_setting() -> None:
    assert parse_setting("epochs=3") == ("epochs", 3)
    assert parse_setting("model.hidden=[1, 2]") == ("model.hidden", [1, 2])
    assert parse_setting("backend=numba-csr") == ("backend", "numba-csr")
    assert parse_setting("timeout=30m") == ("timeout", "30m")
    assert parse_setting("dataset.path=a=b.npz") == ("dataset.path", "a=b.npz")
    assert parse_setting("topology={name='set'}") == ("topology", {"name": "set"})
    assert parse_setting("x=1\ny=2") == ("x", "1\ny=2")
    assert parse_setting("x=1979-05-27") == ("x", "1979-05-27")
    for text in ("", "x", "=3"):
        with pytest.raises(SuiteError, match="--set: expected path=value"):
            parse_setting(text)


def test_data_that_is_not_there(trials: Expand, tmp_path: Path) -> None:
    (trial,) = trials(settings={"dataset": "gone"})
    assert trial.data == {
        "missing": "data set 'gone' is not there; get it with: sparsebench data fetch gone"
    }
    text = "sources.rare = {openml = '12', train = 9}\nsources.odd.note = \"odd.mat\\nof them\""
    rare, odd = trials(text + "\n[grid]\ndataset = ['rare', {name = 'odd', x = 1}]")
    assert rare.data["missing"] == (
        f"data set 'rare' is not in {tmp_path}; "
        f"get it with: sparsebench data fetch rare --openml 12 --train 9 --data {tmp_path}"
    )
    assert odd.dataset == {"name": "odd", "x": 1}
    assert odd.data["missing"] == (
        f"data set 'odd' is not in {tmp_path}; make odd.npz (X, y) from odd.mat of them and list "
        f"it in {tmp_path}/data.json, or look for it on OpenML: "
        f"sparsebench data fetch odd --data {tmp_path} --openml NAME"
    )


def test_the_suite_says_how_to_get_what_its_plugin_cannot(
    plugins: Plugins, suite: Write, tmp_path: Path
) -> None:
    def missing(self: object) -> None:
        error = MissingData("", "")
        error.args = ("toy.npz is not there; put it back",)
        raise error

    entry = plugins["dataset"]["toy"]
    target = type("Absent", (entry.load(),), {"identity": missing})
    plugins["dataset"]._entries["toy"] = dataclasses.replace(entry, target=target)
    (plain,) = expand(suite(), plugins, data_dir=tmp_path)
    assert plain.data["missing"] == "toy.npz is not there; put it back"
    (trial,) = expand(suite("sources.toy.openml = 'Toy'"), plugins, data_dir=tmp_path)
    assert trial.data["missing"] == (
        "toy.npz is not there; put it back, or get another version with: "
        f"sparsebench data fetch toy --openml Toy --data {tmp_path}"
    )


def test_data_that_is_not_usable_is_reported_with_file_and_key(
    trials: Expand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise DataError("wine.npz: truncated")

    monkeypatch.setattr("sparsebench_plugin_toy_components.Toy.identity", refuse)
    for text, place in (("", "trial.dataset"), ("grid.dataset=['toy']", "grid.dataset[0]")):
        with pytest.raises(SuiteError) as error:
            trials(text)
        assert str(error.value) == f"small.toml: {place}: wine.npz: truncated"


def test_an_identity_that_fails_is_the_plugins_fault(
    plugins: Plugins, suite: Write, tmp_path: Path
) -> None:
    def fail(self: object) -> None:
        raise ZeroDivisionError("oh")

    entry = plugins["dataset"]["toy"]
    target = type("Bad", (entry.load(),), {"identity": fail})
    plugins["dataset"]._entries["toy"] = dataclasses.replace(entry, target=target)
    with pytest.raises(SuiteError, match=r"dataset: .*identity\(\) raised ZeroDivisionError: oh"):
        expand(suite(), plugins, data_dir=tmp_path)


def test_select(trials: Expand) -> None:
    found = trials(
        "grid.backend=['numba-csr','dense-mask']\ngrid.topology=['dense','set']\ngrid.seed=[1,10]"
    )

    def chosen(expression: str) -> int:
        return len(select(found, expression))

    assert chosen("numba") == 4
    assert chosen("seed=1") == 4
    assert chosen("NUMBA and topology=set") == 2
    assert chosen("not numba or topology=set and seed=1") == 5
    assert chosen("not (numba or topology=set)") == 2
    assert chosen("leaky") == 8
    assert chosen(found[3].id) == 1
    with pytest.raises(NothingMatched, match="-k 'torch' matches none of 8 trials"):
        chosen("torch")
    deep = ("not " * 100_000 + "a", "(" * 10_000 + "a" + ")" * 10_000)
    for bad in ("", "and", "a and", "(a", "a b", ")", "not", "a (b)", "()", "(a)(b)", *deep):
        with pytest.raises(SuiteError, match="-k: "):
            chosen(bad)


def test_select_holds_plain_words_against_values_only(trials: Expand) -> None:
    found = trials(
        "grid.dataset = [{name='toy', samples=10}, {name='toy', samples=3}]\n"
        "grid.topology = ['dense', {name='set', zeta=0.1}, {name='set', zeta=0.2}]"
    )
    assert label(found[1]) == "dataset=toy (samples=10) topology=set (zeta=0.1)"
    assert len(select(found, "set")) == 4
    assert len(select(found, "se")) == 6  # dense, too
    assert len(select(found, "zeta=0.1")) == 2
    assert len(select(found, "samples=3 and topology=set")) == 2
    for key in ("dataset", "topology", "zeta", "zeta=0"):
        with pytest.raises(NothingMatched):
            select(found, key)


def test_unless_spares_some_of_what_an_exclude_names(trials):
    text = """
        [grid]
        seed = [0, 1, 2]
        epochs = [1, 2]
        [[exclude]]
        where = { epochs = 2 }
        unless = { seed = 1 }
    """
    assert [(t.seed, t.epochs) for t in trials(text)] == [(0, 1), (1, 1), (1, 2), (2, 1)]


def test_an_unless_that_spares_nothing_is_an_error(trials):
    text = """
        [grid]
        seed = [0, 1]
        [[exclude]]
        where = { seed = 1 }
        unless = { epochs = 77 }
    """
    with pytest.raises(SuiteError, match=r"exclude\[0\]\.unless: matches no trial"):
        trials(text)
