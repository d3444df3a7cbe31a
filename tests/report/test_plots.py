from itertools import pairwise

import pytest
from matplotlib.collections import PathCollection
from records import SET, STATIC, FakeRun, make_record, make_trial, realistic

from sparsebench.analysis.report_data import report_data
from sparsebench.report.charts import charts
from sparsebench.report.document import Axis, Chart, Panel, Series
from sparsebench.report.html import bokeh_charts
from sparsebench.report.learning_curves import curves
from sparsebench.report.png import drawn, write_charts
from sparsebench.report.scaling_chart import censored, memory_refused, scaling
from sparsebench.report.trade_off_chart import trade_off


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return report_data([realistic(tmp_path_factory.mktemp("small"), epochs=3)])


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    sizes = (100, 1000, 10000)
    return report_data([realistic(folder, sizes, epochs=2, seeds=2, topologies=(STATIC, SET))])


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts() if text.get_text()]


def test_learning_curves_have_a_panel_per_data_set_and_a_band_per_line(small):
    (panel,) = curves(small).panels
    assert len(panel.series) == 9
    assert all(one.band and one.low for one in panel.series)
    figure = drawn(curves(small))
    names = ["static", "set", "set + importance", "numba-csr", "scipy-csr", "dense-mask"]
    assert sorted(legend(figure)) == sorted(names)
    assert figure.axes[0].get_xlabel() == "epoch"


def test_one_seed_has_lines_without_bands(tmp_path):
    chart = curves(report_data([realistic(tmp_path, epochs=3, seeds=1)]))
    assert not any(one.low for panel in chart.panels for one in panel.series)


def test_the_trade_off_has_a_mark_per_cell(small):
    chart = trade_off(small)
    (panel,) = chart.panels
    across = [size for one in panel.series for size in one.sizes]
    assert len(across) == 9
    assert len(set(across)) > 1
    figure = drawn(chart)
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("net peak memory", "test accuracy")
    assert "dense-mask" in legend(figure)


def test_no_mark_is_cut_at_the_edge_of_the_axes(small):
    (panel,) = trade_off(small).panels
    (ax,) = drawn(trade_off(small)).axes
    marks = [one for one in ax.collections if isinstance(one, PathCollection)]
    assert marks
    assert not any(one.get_clip_on() for one in marks)
    page = bokeh_charts.drawn(trade_off(small), panel)
    largest = max(size for one in panel.series for size in one.sizes)
    inside = panel.height - bokeh_charts.AROUND
    padding = page.y_range.range_padding
    assert inside * padding / 2 / (1 + padding) >= largest / 2


def test_scaling_is_log_log_with_a_line_per_topology_and_backend(sweep):
    chart = scaling(sweep)
    figure = drawn(chart)
    assert [ax.get_ylabel() for ax in figure.axes] == ["time per epoch", "net peak memory"]
    for ax, panel in zip(figure.axes, chart.panels):
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert len([one for one in panel.series if "measured" in one.hover]) == 6


def generated(*sizes):
    """Each size has features of its own, and so a data set with a label of its own."""
    records = [
        make_record(
            make_trial(
                dataset={"name": "microarray-like", "features": size},
                model={"name": "mlp", "hidden": [size], "activation": {"name": "relu"}}, seed=seed,
            ),
            measures={"initial_connections": 20 * size, "epoch_seconds": size / 1000},
        )
        for size in sizes for seed in range(2)
    ]  # fmt: skip
    return report_data([FakeRun(records)])


def test_sizes_of_one_generated_data_set_are_one_line():
    found = generated(500, 4000, 20000)
    assert found.frame["dataset"].nunique() == 3
    (points,) = (one for one in scaling(found).panels[0].series if "measured" in one.hover)
    assert points.x == [10_000, 80_000, 400_000]


def texts_inside(figure, ax):
    """The extents of the texts of the ticks on the x axis."""
    figure.draw_without_rendering()
    boxes = [one.get_window_extent() for one in ax.get_xticklabels() if one.get_text()]
    return [box for box in boxes if ax.bbox.x0 <= (box.x0 + box.x1) / 2 <= ax.bbox.x1]


@pytest.mark.parametrize("largest", [5_000, 50_000, 10**6])
def test_texts_of_ticks_do_not_overlap(largest):
    figure = drawn(scaling(generated(500, largest)))
    for ax in figure.axes:
        inside = texts_inside(figure, ax)
        assert len(inside) > 1
        assert all(a.x1 < b.x0 for a, b in pairwise(inside))


@pytest.mark.parametrize("most", [0.5, 0.9, 2.0, 9.0, 300.0])
@pytest.mark.parametrize("panels", [1, 3])
def test_a_logarithmic_axis_has_ticks_however_short_it_is(panels, most):
    series = Series([0.41, most], [1.0, 2.0], joined="line")
    axes = Axis("time per epoch", "seconds", log=True), Axis("y")
    figure = drawn(Chart("x", "x", "", [Panel(str(n), *axes, [series]) for n in range(panels)]))
    for ax in figure.axes:
        inside = texts_inside(figure, ax)
        assert len(inside) > 1
        assert all(a.x1 < b.x0 for a, b in pairwise(inside))


def test_trials_that_met_a_limit_are_arrows_in_its_panel(sweep):
    for ax, ended in zip(drawn(scaling(sweep)).axes, ("timeout", "out-of-memory"), strict=True):
        labels = {line.get_label() for line in ax.lines}
        assert {label for label in labels if label.startswith("censored")} == {f"censored {ended}"}
        assert {text.get_text() for text in ax.texts} == {"", ended}


def test_what_a_limit_says(sweep):
    time = {one.status: one for one in censored(sweep, "epoch_seconds")}
    memory = {one.status: one for one in censored(sweep, "net_peak_bytes")}
    assert (time["timeout"].bound, time["out-of-memory"].bound) == (60.0 / 2, None)
    assert (memory["timeout"].bound, memory["out-of-memory"].bound) == (None, 2.0**30)
    assert time["timeout"].connections == 20 * (64 + 40000 + 10)


def test_a_limit_at_a_size_that_nothing_reached_is_still_drawn(tmp_path):
    run = realistic(tmp_path, (100, 1000), epochs=1, seeds=1)
    big = {"name": "mlp", "hidden": [10**6], "activation": {"name": "relu"}}
    run.records.append(make_record(make_trial(model=big), "out-of-memory"))
    found = report_data([run])
    assert [one.connections for one in censored(found, "net_peak_bytes")][-1] is None
    time, memory = scaling(found).panels
    ended = [one.hover["ended"] for one in time.series if one.arrow]
    assert ["out-of-memory"] not in ended  # a limit of memory bounds no time
    assert any(one.hover["connections"] == ["not known"] for one in memory.series if one.arrow)


def test_only_charts_that_say_something():
    assert charts(report_data([FakeRun([])])) == []
    assert charts(report_data([FakeRun([make_record(make_trial())])])) == []


def test_files_are_png_at_twice_the_size(small, tmp_path):
    files = [file for file, _ in write_charts(charts(small), tmp_path, "x-")]
    assert [file.name for file in files] == ["x-learning-curves.png", "x-accuracy-memory.png"]
    header = files[0].read_bytes()[:24]
    assert header[1:4] == b"PNG"
    assert int.from_bytes(header[16:20]) == 1600


def test_names_are_no_mathematics_and_are_in_lines():
    names = ["a$b$", "x" * 100]
    records = [make_record(make_trial(topology={"name": name, "prune": None})) for name in names]
    shown = legend(drawn(trade_off(report_data([FakeRun(records)]))))
    assert shown[0] == r"a\$b\$"
    assert shown[1].replace("\n", "") == "x" * 100
    assert max(map(len, shown[1].splitlines())) == 60


def test_an_allocation_refused_early_is_bounded_by_the_limit_not_by_what_was_reached():
    trial = make_trial(memory_limit=3 * 2**30)
    measures = {"peak_rss_bytes": 100 * 2**20, "net_peak_bytes": 14 * 2**20}
    record = make_record(trial, "out-of-memory", measures=measures)
    assert memory_refused(record) == 3 * 2**30 - 86 * 2**20


@pytest.mark.parametrize("lines", [3, 40])
def test_panels_keep_their_height_above_a_long_legend(lines):
    names = [f"method {n} with a parameter that makes it long" for n in range(lines)]
    series = [Series([1.0, 2.0], [1.0, n], name, joined="line") for n, name in enumerate(names)]
    figure = drawn(Chart("x", "x", "", [Panel("", Axis("x"), Axis("y"), series)], names, names))
    figure.draw_without_rendering()
    (ax,) = figure.axes
    assert ax.get_window_extent().height / figure.dpi > 2.0
    assert figure.legends[0].get_window_extent().y1 < ax.get_window_extent().y0
