import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.store.export_columns import (
    COLUMNS,
    epochs_frame,
    manifest_commit,
    run_frame,
    trials_frame,
)
from sparsebench.store.export_formats import to_csv, to_json
from sparsebench.store.record import Record
from sparsebench.store.safe_files import read_lines
from sparsebench.store.schemas import EPOCH

SET = {"name": "set", "zeta": 0.3, "prune": {"name": "importance", "start": 2}}
AXES = {"backend": "numba-csr", "topology": SET, "model.hidden": [10, 20], "optimizer.momentum": 0}


def trial(**changed):
    given = {
        "dataset": {"name": "digits"},
        "model": {"name": "mlp", "hidden": [10, 20], "activation": {"name": "relu"}},
        "topology": SET,
        "optimizer": {"name": "sgd"},
        "trainer": {"name": "sequential"},
        "backend": {"name": "numba-csr"},
        "epochs": 2, "batch_size": 32, "threads": 2, "seed": 1, "suite": "demo", "axes": AXES,
    }  # fmt: skip
    return Trial(**{**given, **changed})


def record(status="ok", **changed):
    given = {"trial": trial(), "attempt": 1, "machine": {"id": "ab12", "system": "Linux"}}
    return Record(status=Status(status), **{**given, **changed})


def epoch_line(**changed):
    line = {
        "epoch": 1, "train_loss": 0.5, "test_loss": None, "test_accuracy": 0.9,
        "validation_accuracy": None, "learning_rate": 0.01, "connections": [30, 12],
        "dropped": [3, 1], "grown": [3, 1], "pruned": [0, 0], "data_seconds": 0.1,
        "train_seconds": 0.2, "topology_seconds": 0.3, "eval_seconds": 0.4, "rss_bytes": None,
    }  # fmt: skip
    return {**line, **changed}


def stored(folder: Path, *records, manifest=None):
    return SimpleNamespace(
        id="r1", records=list(records), manifest=manifest or {}, suite_text="",
        epochs=lambda one: read_lines(
            folder / one.trial.id / "epochs.jsonl", str(folder.resolve()), EPOCH
        )[0],
    )  # fmt: skip


def write_epochs(folder, one, text):
    (folder / one.trial.id).mkdir()
    (folder / one.trial.id / "epochs.jsonl").write_text(text)


def test_columns_are_the_contract_then_the_axes_it_has_no_column_for():
    frame = trials_frame([record()], "r1")
    assert list(frame.columns) == [*COLUMNS, "model.hidden", "optimizer.momentum"]


def test_a_row_names_components_and_keeps_measures():
    row = trials_frame([record(measures={"test_accuracy": 0.5, "connections": 42})], "r1").iloc[0]
    named = ["run", "dataset", "backend", "topology", "activation", "prune", "machine", "status"]
    assert [row[name] for name in named] == [
        "r1", "digits", "numba-csr", "set", "relu", "importance", "ab12", "ok",
    ]  # fmt: skip
    assert row["trial"] == trial().id
    assert (row["test_accuracy"], row["connections"], row["workers"]) == (0.5, 42.0, 1)
    assert (row["model.hidden"], row["optimizer.momentum"]) == ("10-20", 0)


def test_a_trial_without_pruning_or_with_workers():
    other = trial(topology={"name": "static", "prune": None}, trainer={"name": "p", "workers": 4})
    row = trials_frame([record(trial=other)], "r1").iloc[0]
    assert (row["prune"], row["workers"]) == ("", 4)


def test_a_failed_trial_is_a_row_with_nan():
    frame = trials_frame([record(), record("timeout", cause="limit")], "r1")
    assert list(frame["status"]) == ["ok", "timeout"]
    assert math.isnan(frame["test_accuracy"][1])
    assert frame["test_accuracy"].dtype == "float64"


def test_warm_up_comes_from_the_phases_where_no_measure_says_it():
    one = record(phases={"warmup": {"seconds": 1.5, "peak_rss_bytes": 1.0}})
    assert trials_frame([one], "r1")["warmup_seconds"][0] == 1.5


@pytest.mark.parametrize(
    ("settings", "system", "exact"),
    [({"exact": True}, "Linux", True), ({}, "Darwin", False), ({"exact": False}, "Linux", False)],
)
def test_exact(settings, system, exact):
    one = record(settings=settings, machine={"system": system})
    assert trials_frame([one], "r1")["exact"][0] == exact


def test_no_records_give_the_columns():
    assert list(trials_frame([], "r1").columns) == list(COLUMNS)


def test_trials_of_different_grids_share_a_frame():
    frame = trials_frame([record(), record(trial=trial(axes={"x.y": True}))], "r1")
    assert list(frame["x.y"]) == ["", "True"]
    assert math.isnan(frame["optimizer.momentum"][1])


def test_commit_is_the_records_own_or_that_of_the_manifest(tmp_path):
    own = record(fingerprint={"commit": "own"})
    run = stored(tmp_path, own, record(), manifest={"git": {"commit": "abc", "dirty": True}})
    assert list(run_frame(run)["commit"]) == ["own", "abc+"]
    assert manifest_commit({}) == ""


def test_epochs_have_a_row_each_with_layers_and_totals(tmp_path):
    one = record()
    lines = [epoch_line(), epoch_line(epoch=2, train_loss="nan", connections=[20, 10])]
    write_epochs(tmp_path, one, "".join(json.dumps(line) + "\n" for line in lines))
    frame = epochs_frame(stored(tmp_path, one))
    assert list(frame["epoch"]) == [1, 2]
    assert list(frame["connections"]) == [42, 30]
    assert list(frame["connections_2"]) == [12, 10]
    assert math.isnan(frame["train_loss"][1])
    assert frame["model.hidden"][0] == "10-20"
    expected = ["epoch", "train_loss", "test_accuracy", "dropped", "grown_1", "pruned_2",
                "train_seconds", "topology_seconds", "rss_bytes"]  # fmt: skip
    assert set(expected) <= set(frame.columns)


def test_a_trial_without_epochs_is_a_row(tmp_path):
    frame = epochs_frame(stored(tmp_path, record("crashed")))
    assert list(frame["status"]) == ["crashed"]
    assert math.isnan(frame["epoch"][0])


def test_a_torn_last_line_is_no_epoch(tmp_path):
    one = record()
    write_epochs(tmp_path, one, json.dumps(epoch_line()) + '\n{"epoch": 2, "tr')
    assert list(epochs_frame(stored(tmp_path, one))["epoch"]) == [1]


def test_a_trial_that_times_a_kernel_has_its_columns_and_one_that_trains_does_not():
    timed = record(
        trial=trial(trainer={"name": "kernel", "kernel": "sddmm"}),
        measures={"kernel_seconds": 0.5, "roofline_share": 0.7},
        layers=[{"shape": [1, 1]}, {"shape": [2, 2], "bound": "row gather, L2"}],
    )
    frame = trials_frame([timed, record()], "r1")
    assert list(frame["kernel"]) == ["sddmm", ""]
    assert list(frame["bound"]) == ["row gather, L2", ""]
    assert frame["roofline_share"][0] == 0.7
    assert frame["roofline_share"].isna()[1]
    assert frame["kernel_seconds"].isna()[1]


def test_claim_verdict_and_noise_have_columns_of_their_own():
    audited = {"claims": "truly sparse", "verdict": "contradicted"}
    simulated = {"claims": "simulated", "verdict": "simulated"}
    rows = trials_frame(
        [
            record(audit=audited, noise={"marks": ["load", "steal"]}),
            record(audit=simulated),
            record(audit={"claims": "unknown", "verdict": "cannot tell"}),
            record(),
        ],
        "r1",
    )
    assert rows["truly_sparse"].tolist() == [True, False, None, None]
    assert rows["audit"].tolist() == ["contradicted", "simulated", "cannot tell", ""]
    assert rows["noise"].tolist() == ["load steal", "", "", ""]


def test_what_else_a_trial_measured_is_a_column_before_the_axes():
    frame = trials_frame([record(), record(measures={"my_metric": 0.25})], "r1")
    assert list(frame.columns)[-3:] == ["my_metric", "model.hidden", "optimizer.momentum"]
    assert math.isnan(frame["my_metric"][0])
    assert frame["my_metric"][1] == 0.25


def test_metrics_of_an_epoch_are_columns_numbered_per_layer_and_of_lists_for_arrays(tmp_path):
    lines = [
        epoch_line(
            metrics={"share": 0.5, "bins": [1, 2]},
            layer_metrics={"dead": [3, None], "degrees": [[1, 2, 3], [4]]},
        ),
        epoch_line(epoch=2, metrics={"share": "nan", "bins": None}),
    ]
    one = record()
    write_epochs(tmp_path, one, "".join(json.dumps(line) + "\n" for line in lines))
    frame = epochs_frame(stored(tmp_path, one))
    first = frame.iloc[0]
    assert [first[name] for name in ("share", "dead_1", "bins")] == [0.5, 3, [1, 2]]
    assert [first["degrees_1"], first["degrees_2"]] == [[1, 2, 3], [4]]
    assert "dead" not in frame  # what the whole network has of it nobody said
    assert frame.loc[1, ["share", "dead_1", "dead_2", "bins", "degrees_1"]].isna().all()
    header, row, last = to_csv(frame[["share", "dead_1", "degrees_1"]]).decode().splitlines()
    assert (header, row, last) == ("share,dead_1,degrees_1", '0.5,3.0,"[1,2,3]"', ",,")
    (stored_lists, _) = json.loads(to_json(frame[["degrees_1", "bins"]]))
    assert stored_lists == {"degrees_1": [1, 2, 3], "bins": [1, 2]}


def grid_of_30():
    """Two files, two epsilons, two slopes, two learning rates: 16 trials."""
    return [
        record(
            trial=trial(
                dataset={"name": "file", "path": path, "target": None, "label": None},
                data={"sha256": path},
                locations=["path", "label"],
                model={"name": "mlp", "hidden": [16],
                       "activation": {"name": "all-relu", "alpha": alpha}},
                topology={"name": "set", "epsilon": epsilon, "zeta": 0.3, "prune": None},
                optimizer={"name": "sgd", "learning_rate": rate},
                axes={},
            )
        )
        for path in ("/home/me/colon.npz", "/home/me/lung.npz")
        for epsilon in (3, 5)
        for alpha in (0.5, 0.75)
        for rate in (0.01, 0.05)
    ]  # fmt: skip


def test_every_row_says_which_trial_it_is():
    frame = trials_frame(grid_of_30(), "r1")
    varied = ["dataset", "topology.epsilon", "model.activation.alpha", "optimizer.learning_rate"]
    assert set(frame.columns) - set(COLUMNS) == set(varied[1:])
    assert len(frame[varied].drop_duplicates()) == 16
    assert set(frame["dataset"]) == {"colon", "lung"}
    assert "/home" not in frame.to_csv()


def test_groups_by_a_component_mix_no_settings():
    frame = trials_frame(grid_of_30(), "r1")
    for column, parameter in {
        "topology": "topology.epsilon",
        "activation": "model.activation.alpha",
        "optimizer": "optimizer.learning_rate",
    }.items():
        assert (frame.groupby(column)[parameter].nunique() == 1).all()
    assert set(frame["topology"]) == {"set (epsilon=3)", "set (epsilon=5)"}
    pruned = record(trial=trial(topology={**SET, "prune": None}))
    both = trials_frame([record(), pruned], "r1")
    assert list(both["topology"]) == ["set + importance", "set"]
    assert list(both["prune"]) == ["importance", ""]
