"""The answer of a run whose suite asks for one: verdict, costs, other methods."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from records import FakeRun, make_record, make_trial
from scipy.sparse import csr_matrix

from sparsebench.analysis.input_strength import input_strengths
from sparsebench.analysis.recommendation import compared, recommended
from sparsebench.analysis.report_data import NO_NETWORK, report_data
from sparsebench.core.archive import write_archive
from sparsebench.core.job import MODEL
from sparsebench.report.answer import answer, sections

SUITE = """
name = "try-genes"
report = { answer = true }
[[claims]]
text = "SET at 5 % is as good"
metric = "test_accuracy"
where = { topology = "set", "topology.density" = 0.05, trainer = "sequential" }
against = { topology = "dense", trainer = "sequential" }
tolerance = 0.02
[[claims]]
text = "SET at 1 % is as good"
metric = "test_accuracy"
where = { topology = "set", "topology.density" = 0.01, trainer = "sequential" }
against = { topology = "dense", trainer = "sequential" }
tolerance = 0.02
"""


def run(*accuracies: float) -> FakeRun:
    """dense, SET at 5 % and at 1 %, logistic regression; five folds of three seeds each."""
    draw, found = random.Random(0), []
    topologies = [
        {"name": "dense", "prune": None},
        *({"name": "set", "density": density, "prune": None} for density in (0.05, 0.01)),
        {"name": "dense", "prune": None},
    ]
    for place, (topology, accuracy) in enumerate(zip(topologies, accuracies)):
        network = place < 3
        count = round(17400 * topology.get("density", 1.0))
        for seed in range(3):
            for fold in range(1, 6):
                trial = make_trial(
                    topology=topology, seed=seed, fold=f"{fold}/5",
                    trainer={"name": "sequential" if network else "logistic-regression"},
                )  # fmt: skip
                measures = {
                    "test_accuracy": accuracy + draw.gauss(0, 0.003), "train_seconds": 2.0,
                    "connections": count if network else None, "initial_connections": count,
                }  # fmt: skip
                settings = {"exact": True} | ({} if network else {"computed_by": "scikit-learn"})
                found.append(make_record(trial, measures=measures, settings=settings))
    return FakeRun(found, suite_text=SUITE)


@pytest.mark.parametrize(
    ("accuracies", "verdict", "density"),
    [
        ((0.9, 0.9, 0.9, 0.8), "Yes, within a margin of 2 points.", 0.01),
        ((0.9, 0.9, 0.8, 0.8), "Yes, within a margin of 2 points.", 0.05),
        ((0.9, 0.8, 0.81, 0.8), "No, not within a margin of 2 points.", 0.01),
        ((0.9, 0.881, 0.879, 0.8), "Cannot tell within a margin of 2 points", 0.05),
    ],
)
def test_the_sparsest_network_that_is_as_good_is_recommended(accuracies, verdict, density):
    found = report_data([run(*accuracies)])
    sentences = list(answer(found))
    assert sentences[0].startswith(verdict)
    chosen = recommended(found)
    assert set(chosen["topology.density"]) == {density}
    assert len(chosen) == 15
    assert f"{round(17400 * density):,} connections instead of 17,400" in " ".join(sentences)
    assert "Without a network: logistic-regression" in " ".join(sentences)
    assert "2.00 s of training, net peak 3.00 MiB" in " ".join(sentences)
    assert [section.title for section in sections(found)] == ["Answer"]


@pytest.mark.parametrize(
    ("accuracy", "kept", "verdict"),
    [
        (0.9, 15, "Cannot tell: no network was trained that could be compared"),
        (0.8, 30, "Cannot tell within a margin of 2 points: what was compared is worse, and the"),
        (0.9, 30, "Yes, within a margin of 2 points."),
    ],
)
def test_what_was_not_run_is_no_answer(accuracy, kept, verdict):
    whole = run(0.9, accuracy, 0.9, 0.8)
    part = replace(whole, records=whole.records[:kept])
    assert next(answer(report_data([part]))).startswith(verdict)


def test_what_was_not_run_is_no_reason_for_what_cannot_be_told():
    whole = run(0.9, 0.9, 0.879)
    part = replace(whole, records=whole.records[:15] + whole.records[30:])
    start = "Cannot tell within a margin of 2 points: shown to be worse; whether by more"
    assert next(answer(report_data([part]))).startswith(start)


def test_inputs_are_ranked_by_strength_and_called_by_name(tmp_path):
    seen = run(0.9, 0.9, 0.9, 0.8)
    seen.path = tmp_path
    for record in seen.records[:45]:
        W = csr_matrix(np.array([[0.0, -3, 0, 1], [0, 3, 2, 0]], dtype=np.float32))
        arrays = {
            "W1.data": W.data, "W1.indices": W.indices, "W1.indptr": W.indptr,
            "W1.shape": np.array(W.shape), "inputs": np.array(["A", "B", "C", "D"]),
        }  # fmt: skip
        seen.folder(record).mkdir()
        with (seen.folder(record) / MODEL).open("wb") as stream:
            write_archive(stream, {}, arrays.items())
    found = report_data([seen])
    strengths = input_strengths(found, recommended(found))
    assert strengths is not None
    assert (strengths.networks, strengths.names) == (15, ["B", "C", "D", "A"])
    assert strengths.shares == pytest.approx([6 / 9, 2 / 9, 1 / 9, 0])
    assert "Of 4 inputs it relies most on B, C, D, A (15 networks)." in list(answer(found))
    assert [section.title for section in sections(found)] == ["Answer", "Inputs that matter"]


def test_only_folds_that_both_sides_have_are_compared():
    """The time was up before SET's last seed: its effect is that of the common folds."""
    whole = run(0.9, 0.9, 0.9, 0.8)
    part = replace(whole, records=[*whole.records[:25], *whole.records[30:]])
    (row, *_) = compared(report_data([part]))
    assert (row.ours.n, row.other.n) == (10, 10)
    assert row.difference is not None
    assert row.effect == pytest.approx(row.difference.effect)


def test_a_reference_has_no_topology_and_no_backend_of_ours():
    frame = report_data([run(0.9, 0.9, 0.9, 0.8)]).frame
    of_reference = frame[frame["trainer"] == "logistic-regression"]
    assert set(of_reference["topology_label"]) == {NO_NETWORK}
    assert set(of_reference["backend_label"]) == {"scikit-learn"}
    assert NO_NETWORK not in set(frame.drop(of_reference.index)["topology_label"])


def test_only_a_suite_that_asks_gets_an_answer():
    described = run(0.9, 0.9, 0.9, 0.8)
    assert not list(sections(report_data([replace(described, suite_text="name = 'x'")])))
