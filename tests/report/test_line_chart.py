"""Any metric against any column: what is joined, what is distinguished, what is drawn once."""

import itertools
import random

import pytest
from records import FakeRun, epoch_line, make_record, make_trial

from sparsebench.analysis.report_data import report_data
from sparsebench.core.metric import Metric
from sparsebench.errors import SparsebenchError
from sparsebench.report.chart_encoding import distinctions
from sparsebench.report.charts import charts, density
from sparsebench.report.learning_curves import curves
from sparsebench.report.line_chart import line
from sparsebench.report.png import drawn
from sparsebench.report.sections import contents
from sparsebench.report.sweep_chart import sweep

HIDDEN = {"digits": [100, 100], "wine": [30]}


def record(dataset="digits", topology="set", epsilon=5, backend="numba-csr", seed=0, **changed):
    """Accuracy follows from all but the backend."""
    draw = random.Random(f"{dataset} {topology} {epsilon} {seed} {changed}")
    trial = make_trial(
        dataset={"name": dataset}, seed=seed, backend={"name": backend},
        model={"name": "mlp", "hidden": HIDDEN[dataset], "activation": {"name": "relu"}},
        topology={"name": topology, "epsilon": epsilon, "prune": None}, **changed,
    )  # fmt: skip
    share = epsilon / 100
    return make_record(trial, measures={
        "test_accuracy": 0.8 + share + 0.01 * draw.random(), "density": share,
        "epoch_seconds": 0.01 * epsilon, "net_peak_bytes": 1e6 * epsilon,
    })  # fmt: skip


def sparse(backends=("numba-csr", "scipy-csr")):
    grid = itertools.product(HIDDEN, ("static", "set"), (5, 10, 20), backends, (0, 1))
    return report_data([FakeRun([record(*each) for each in grid])])


def test_accuracy_against_density_has_panels_by_data_set_and_a_line_by_topology():
    chart = density(sparse())
    assert [panel.title for panel in chart.panels] == ["digits", "wine"]
    assert [[one.toned for one in panel.series] for panel in chart.panels] == [
        ["static", "set"]
    ] * 2
    assert [len(one.x) for one in chart.panels[0].series] == [3, 3]
    assert chart.panels[0].x.kind == "fraction"


def test_lines_of_backends_that_are_equal_are_drawn_once_and_it_is_said():
    (note,) = density(sparse()).notes
    assert note == (
        "Lines that cannot be distinguished are drawn once: numba-csr stands for scipy-csr."
    )
    times = line(sparse(), "topology.epsilon", "epoch_seconds")
    assert len(times.panels[0].series) == 4  # a measured time is never the same
    assert times.notes == []


def test_what_follows_from_the_data_set_is_reported_once():
    found = sparse()
    assert found.notes == ["On digits: hidden=100-100.", "On wine: hidden=30."]
    assert set(found.frame["setting"]) == {"digits", "wine"}


def test_the_dense_network_is_a_line_across():
    dense = make_record(make_trial(topology={"name": "dense", "prune": None}),
                        measures={"density": 1.0, "test_accuracy": 0.99})  # fmt: skip
    runs = [FakeRun([*(record(epsilon=e) for e in (5, 10, 20)), dense])]
    across = density(report_data(runs)).panels[0].series[-1]
    assert (across.toned, across.dash, across.x) == ("dense", "dotted", [0.05, 1.0])
    chart = density(report_data(runs))
    assert [chart.line_of(name) for name in chart.shaped] == ["", "dotted"]  # the legend's too


def test_a_column_is_named_by_its_end_and_the_nearest_is_reported():
    assert line(sparse(), "epsilon").panels[0].x.label == "epsilon"
    assert line(sparse(), "backend").panels[0].x.names == ("numba-csr", "scipy-csr")
    with pytest.raises(SparsebenchError, match=r"no column 'topology.epsilom'.*\.epsilon"):
        line(sparse(), "topology.epsilom")
    with pytest.raises(SparsebenchError, match="holds words"):
        line(sparse(), "density", "topology")
    with pytest.raises(SparsebenchError, match="a mean over the seeds"):
        line(sparse(), "seed")


def test_only_networks_that_differ_in_what_is_across_are_joined():
    runs = [FakeRun([record(batch_size=size, epsilon=e) for size in (16, 32) for e in (5, 10)])]
    chart = line(report_data(runs), "topology.epsilon")
    assert [one.shaped for one in chart.panels[0].series] == ["batch_size=16", "batch_size=32"]
    assert [one.x for one in chart.panels[0].series] == [[5.0, 10.0]] * 2
    measured = line(report_data(runs), "net_peak_bytes", color="batch_size")
    assert {one.joined for one in measured.panels[0].series} == {""}


def test_a_line_over_workers_has_their_number_beside_each_mark():
    team = [{"name": "team", "workers": n, "average": on} for n in (1, 2) for on in (True, False)]
    runs = [FakeRun([record(trainer=one) for one in ({"name": "sequential"}, *team)])]
    (panel,) = line(report_data(runs), "epoch_seconds", color="trainer", by="workers").panels
    assert {one.toned: len(one.x) for one in panel.series} == {
        "sequential": 1, "team (average)": 2, "team": 2,
    }  # fmt: skip
    assert sorted(text.strip() for *_, text, _ in panel.texts) == ["", "1", "1", "2", "2"]


def test_a_sweep_has_a_panel_for_each_parameter_and_joins_the_best():
    runs = [FakeRun([record(batch_size=size, epsilon=e) for size in (16, 32) for e in (5, 10, 20)])]
    chart = sweep(report_data(runs))
    assert [panel.title for panel in chart.panels] == ["epsilon", "batch size"]
    best, cells = chart.panels[0].series
    assert (len(cells.x), best.x) == (6, [5.0, 10.0, 20.0])
    assert best.y[0] == max(y for x, y in zip(cells.x, cells.y) if x == 5.0)


def test_a_leading_chart_that_is_not_there_is_named():
    suite = 'name = "demo"\nlead = "learning-curve"\n'
    notes = contents([FakeRun(sparse().records, suite_text=suite)]).notes
    (note,) = [note for note in notes if "leads with" in note]
    assert note.startswith("The suite leads with the chart 'learning-curve', which is not here: ")
    assert "density" in note


def test_the_suite_chooses_the_leading_chart():
    found = sparse()
    assert [one.name for one in charts(found)] == ["density", "accuracy-memory"]
    assert charts(found, "accuracy-memory")[0].name == "accuracy-memory"
    requested = {"x": "topology.epsilon", "y": "epoch_seconds", "log": ["y"]}
    first = charts(found, requested=requested)[0]
    assert (first.title, first.panels[0].y.log) == ("Time per epoch against epsilon", True)


def test_two_epochs_are_no_curve_and_panels_of_one_line_are_one_panel(tmp_path):
    run = FakeRun([record(dataset=name) for name in HIDDEN], tmp_path)
    for epochs, panels in ((2, 0), (3, 1)):
        for one in run.records:
            top = 0.3 if one.trial.dataset["name"] == "wine" else 0.2
            run.write_epochs(one, [epoch_line(e, top * e) for e in range(1, epochs + 1)])
        chart = curves(report_data([run]))
        assert len(chart.panels if chart else ()) == panels
    assert [one.toned for one in chart.panels[0].series] == ["digits", "wine"]


def test_what_observers_measure_by_epoch_is_a_chart_each(tmp_path):
    run = FakeRun([record(dataset=name) for name in HIDDEN], tmp_path)
    flow = Metric("flow", title="gradient flow", kinds=("trial", "epoch"))
    alone = Metric("last", title="the last only")
    run.manifest = {**run.manifest, "metrics": [flow.to_json(), alone.to_json()]}
    for at, one in enumerate(run.records, 1):
        one.measures.update(flow=0.5, last=1.0)
        lines = [epoch_line(e, None, metrics={"flow": at / e}) for e in (1, 2, 3)]
        run.write_epochs(one, lines)
    [chart] = [one for one in charts(report_data([run])) if one.name.startswith("observed")]
    assert (chart.name, chart.title) == ("observed-flow", "Gradient flow by epoch")
    assert [one.y for one in chart.panels[0].series] == [[1, 1 / 2, 1 / 3], [2, 1, 2 / 3]]


def test_no_label_is_cut():
    names = [f"a name of {'many ' * 20}words, {at}" for at in (1, 2)]
    runs = [FakeRun([record(topology=name, epsilon=e) for name in names for e in (5, 10, 20)])]
    found = report_data(runs)
    assert distinctions(found, "topology.epsilon")["tone"].nunique() == 2
    labels = [text.get_text() for text in drawn(density(found)).legends[0].get_texts()]
    assert [text.replace("\n", " ") for text in labels if text] == names
