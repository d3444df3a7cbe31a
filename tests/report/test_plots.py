import pytest
from fabricated import SET, STATIC, FakeRun, make_record, make_trial, realistic
from matplotlib.collections import PathCollection

from sparsebench.analysis.evidence import evidence
from sparsebench.report.plot_files import write_plots
from sparsebench.report.plots import (
    learning_curves,
    plain,
    result_memory,
)  # fmt: skip
from sparsebench.report.scaling import censored, memory_refused, scaling


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return evidence([realistic(tmp_path_factory.mktemp("small"), epochs=3)])


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    sizes = (100, 1000, 10000)
    return evidence([realistic(folder, sizes, epochs=2, seeds=2, topologies=(STATIC, SET))])


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts() if text.get_text()]


def test_learning_curves_have_a_panel_per_backend_and_a_band_per_topology(small):
    figure = learning_curves(small)
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert len(panels) == 3
    assert all(len(ax.lines) == 3 and len(ax.collections) == 3 for ax in panels)
    assert legend(figure) == ["static", "set", "set + importance"]
    assert panels[0].get_xlabel() == "epoch"


def test_one_seed_has_lines_without_bands(tmp_path):
    figure = learning_curves(evidence([realistic(tmp_path, epochs=3, seeds=1)]))
    assert all(not ax.collections for ax in figure.axes)


def test_result_memory_has_a_marker_per_cell(small):
    figure = result_memory(small)
    (ax,) = figure.axes
    markers = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert len(markers) == 9
    assert len({float(marker.get_sizes()[0]) for marker in markers}) > 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("net peak memory", "test accuracy")
    assert "dense-mask" in legend(figure)


def test_scaling_is_log_log_with_a_line_per_topology_and_backend(sweep):
    figure = scaling(sweep)
    assert [ax.get_ylabel() for ax in figure.axes] == ["time per epoch", "net peak memory"]
    for ax in figure.axes:
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert len(ax.containers) == 6


def test_trials_that_met_a_limit_are_arrows_in_both_panels(sweep):
    for ax in scaling(sweep).axes:
        labels = [line.get_label() for line in ax.lines]
        assert labels.count("censored timeout") == 1
        assert labels.count("censored out-of-memory") == 1
        assert {text.get_text() for text in ax.texts} == {"", "timeout", "out-of-memory"}


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
    found = evidence([run])
    assert [one.connections for one in censored(found, "net_peak_bytes")][-1] is None
    figure = scaling(found)
    assert any(line.get_label() == "censored out-of-memory" for line in figure.axes[0].lines)


def test_only_plots_that_say_something():
    assert write_plots(evidence([FakeRun([])]), None) == []
    assert write_plots(evidence([FakeRun([make_record(make_trial())])]), None) == []


def test_files_are_png_at_twice_the_size(small, tmp_path):
    plots = write_plots(small, tmp_path, "x-")
    assert [plot.path.name for plot in plots] == [
        "x-learning-curves.png", "x-accuracy-memory.png",
    ]  # fmt: skip
    header = plots[0].path.read_bytes()[:24]
    assert header[1:4] == b"PNG"
    assert int.from_bytes(header[16:20]) == 1600


def test_names_are_no_mathematics():
    assert plain("a$b$") == r"a\$b\$"
    assert len(plain("x" * 100)) == 60


def test_an_allocation_refused_early_is_bounded_by_the_limit_not_by_what_was_reached():
    trial = make_trial(memory_limit=3 * 2**30)
    measures = {"peak_rss_bytes": 100 * 2**20, "net_peak_bytes": 14 * 2**20}
    record = make_record(trial, "out-of-memory", measures=measures)
    assert memory_refused(record) == 3 * 2**30 - 86 * 2**20
