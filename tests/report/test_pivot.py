"""A table of chosen rows, columns and metrics."""

import itertools

import pytest
from records import FakeRun, make_record, make_trial

from sparsebench.analysis.report_data import report_data
from sparsebench.errors import SparsebenchError
from sparsebench.report.document import plain
from sparsebench.report.latex import chosen
from sparsebench.report.pivot import pivot


def run(**changed):
    """Two topologies at two values of epsilon, two seeds each."""
    grid = itertools.product(("static", "set"), (5, 10), (0, 1))
    return FakeRun([
        make_record(
            make_trial(topology={"name": name, "epsilon": epsilon, "prune": None}, seed=seed,
                       **changed),
            measures={"test_accuracy": 0.9 + 0.01 * (name == "set") + epsilon / 1000,
                      "epoch_seconds": epsilon / 100},
        )
        for name, epsilon, seed in grid
    ])  # fmt: skip


def texts(table):
    return [[plain(cell.text) for cell in row] for row in table.cells]


def test_rows_columns_and_metrics_are_chosen():
    found = report_data([run()])
    made = pivot(found, ["topology.epsilon"], ["topology"])
    assert list(made.header) == ["epsilon", "static", "set"]
    assert texts(made) == [["5", "90.50 %", "91.50 %"], ["10", "91.00 %", "92.00 %"]]
    assert made.caption == (
        "Test accuracy: mean ± standard deviation over 2 seeds. Bold: the best of its row, and "
        "what is not shown to be worse."
    )
    both = pivot(found, ["topology", "epsilon"], [], ["test_accuracy", "epoch_seconds"])
    assert list(both.header) == ["topology", "epsilon", "test accuracy", "time per epoch"]
    assert texts(both)[0] == ["static", "5", "90.50 %", "50.0 ms"]


def test_trials_that_differ_in_something_else_are_not_averaged():
    both = FakeRun([*run().records, *run(batch_size=64).records])
    with pytest.raises(SparsebenchError, match="differ in batch_size: choose it"):
        pivot(report_data([both]), ["topology.epsilon"], ["topology"])
    (first, *_) = pivot(report_data([run()]), ["topology"], []).rows
    assert first[0] == "static (epsilon=5)"
    with pytest.raises(SparsebenchError, match="no metric 'test_acuracy'"):
        pivot(report_data([run()]), ["topology"], ["epsilon"], ["test_acuracy"])


def test_a_table_for_a_paper_fits_its_column_and_explains_its_marks():
    marked = FakeRun([
        make_record(make_trial(backend={"name": name}),
                    audit={"verdict": verdict, "claims": verdict})
        for name, verdict in (("csr", "truly sparse"), ("mask", "simulated"))
    ])  # fmt: skip
    text = chosen([marked], ["dataset"], ["backend"], [])
    assert r"\resizebox{\ifdim\width>\linewidth" in text
    assert r"mask \dag{}" in text
    assert r"\dag{} simulated sparsity" in text.partition(r"\label")[0]
