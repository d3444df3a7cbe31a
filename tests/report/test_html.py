"""The HTML report as text: the numbers of the markdown, escaped, in one file."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from bokeh.models import Span
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from records import SET, STATIC, FakeRun, make_record, make_trial, realistic, stored

from sparsebench.analysis.number_format import one
from sparsebench.analysis.report_data import report_data
from sparsebench.analysis.statistics import Spread
from sparsebench.api import Run
from sparsebench.cli.export import report as report_command
from sparsebench.core.archive import write_archive
from sparsebench.errors import SparsebenchError
from sparsebench.metrics import BUILT_IN
from sparsebench.report import png
from sparsebench.report.charts import charts
from sparsebench.report.degree_chart import degrees
from sparsebench.report.document import Bold, Code, number, plain
from sparsebench.report.html.bokeh_charts import drawn, keys
from sparsebench.report.html.page import inline, logs, report
from sparsebench.report.markdown import report as markdown
from sparsebench.report.pixel_chart import pixels
from sparsebench.report.results import result_table
from sparsebench.report.scaling_chart import scaling
from sparsebench.report.trade_off_chart import Point, pareto

HOSTILE = "</script><script>alert(1)</script>\"'`|*{{7*7}}&amp;"


class Reader(HTMLParser):
    """The tables of a page, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.fetched: list[str] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.fetched += [v for k, v in given.items() if k == "src" or (tag == "link" and v)]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """With a crash that nobody expects."""
    run = realistic(tmp_path_factory.mktemp("run"), sizes=(100, 200, 400), epochs=3, seeds=2)
    run.records.append(make_record(make_trial(seed=7), "crashed", cause="SIGSEGV", log_tail="last"))
    return run


@pytest.fixture(scope="module")
def page(run):
    return report([run])


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown")
    return report_data([realistic(folder, sizes=(100, 200, 400, 800), epochs=3, seeds=2)])


def test_the_tables_are_those_of_the_markdown(run, page, tmp_path):
    lines = markdown([run], tmp_path).splitlines()
    rows = [
        [
            re.sub(
                r"\\(.)", r"\1", cell.strip().strip("`*").replace("**", "").replace("&amp;", "&")
            )
            for cell in re.split(r"(?<!\\)\|", line)[1:-1]
        ]
        for line in lines
        if line.startswith("|") and not line.startswith("| ---")
    ]
    shown = [row for table in read(page).tables for row in table]
    assert len(rows) > 40
    missing = [row for row in rows if row not in shown]
    assert missing == []


def test_nothing_is_fetched(page):
    assert read(page).fetched == []
    assert "default-src 'none'" in page


def test_hostile_text_stays_text(tmp_path):
    trial = make_trial(backend={"name": HOSTILE}, topology={"name": HOSTILE, "prune": None})
    suite = f'title = """{HOSTILE}"""\nsource = """{HOSTILE}"""\n'
    bad = make_record(make_trial(seed=1), "error", detail=HOSTILE, log_tail=HOSTILE)
    run = FakeRun([make_record(trial), bad], suite_text=suite)
    page = report([run])
    assert "<script>alert" not in page
    assert "49&amp;" not in page
    assert str(Markup.escape(HOSTILE)) in page


def test_an_empty_run_says_so():
    page = report([FakeRun([])])
    assert "The run has no trials" in page
    assert "<figure" not in page


@pytest.mark.minutes
def test_a_thousand_trials_stay_below_3_megabytes(tmp_path):
    run = realistic(tmp_path, sizes=(100, 200, 400), epochs=30, seeds=1)
    records = [
        replace(record, trial=replace(record.trial, seed=seed))
        for seed in range(38)
        for record in run.records
    ]
    assert len(records) > 1000
    for record in records:
        run.write_epochs(record, [{"epoch": e, "test_accuracy": 0.5} for e in range(1, 31)])
    run.records = records
    page = report([run])
    assert page.count("<tr") > 1000
    assert len(page.encode()) < 3e6


def test_failures_that_nobody_expects_come_first_with_their_last_words(run, page):
    found, more = logs(report_data([run]))
    assert more == 0
    assert (found[0].status, found[0].expected) == ("timeout", False)
    assert [log.expected for log in found] == sorted(log.expected for log in found)
    (crash,) = [log for log in found if log.status == "crashed: SIGSEGV"]
    assert (crash.tail, crash.seeds) == ("last", [7])
    assert "MemoryError: 4 GiB" in page
    assert f"sparsebench logs {crash.trials[0]}" in page


def test_claims_are_at_the_top_with_their_verdicts(tmp_path):
    page = report([realistic(tmp_path, epochs=2, seeds=5)])
    top = page[: page.index('id="accuracy"')]
    assert "SET reaches at least the accuracy of the fixed random topology" in top
    assert "</span> holds" in top
    assert "not judged" in top


def test_the_page_has_the_command_and_the_manifest_without_folders_of_the_user(tmp_path):
    page = report([FakeRun([make_record(make_trial())])])
    assert "sparsebench run demo --seeds 0:3" in page
    assert "&#34;dirty&#34;: false" in page
    assert "/home/somebody" not in page


def test_a_number_is_sorted_by_its_value_in_the_basic_unit():
    found = result_table(
        report_data([FakeRun([make_record(make_trial(seed=s)) for s in range(2)])])
    )
    (row,) = found.cells
    assert [cell.key for cell in row] == [None, 0.95]
    assert number(BUILT_IN["epoch_seconds"], one(0.0124)).key == 0.0124
    assert number(BUILT_IN["epoch_seconds"], Spread.of([])).key is None


@given(st.text())
def test_text_of_others_comes_out_as_it_was(text):
    assert unescape(str(inline(text))) == plain(text)
    assert "<" not in str(inline(text))


def test_bold_and_code():
    assert inline([Bold("3 < 4"), " of ", Code("a|b <c>")]) == Markup(
        "<strong>3 &lt; 4</strong> of <code>a|b &lt;c&gt;</code>"
    )


def point(memory: float, accuracy: float) -> Point:
    return Point("", "", (), one(accuracy), one(memory), one(1.0))


def test_the_front_is_what_nothing_beats():
    a, b, c, d = point(1, 0.5), point(2, 0.9), point(3, 0.8), point(4, 0.9)
    assert pareto([d, c, b, a]) == [a, b]
    assert pareto([point(1, 0.6), point(1, 0.7)]) == [point(1, 0.7)]


def test_charts_are_of_what_is_there(grown):
    alone = report_data([FakeRun([make_record(make_trial())])])
    assert charts(alone) == []
    titles = [chart.title for chart in charts(grown.trained)]
    assert titles == [
        "Time and memory by size", "Test accuracy by epoch", "Accuracy against memory",
    ]  # fmt: skip


def test_growth_shows_failures_as_arrows_from_their_bounds_and_the_dense_weights(grown):
    time, memory = scaling(grown).panels
    arrows = [
        {(one.hover["ended"][0], one.hover["bound"][0]) for one in panel.series if one.arrow}
        for panel in (time, memory)
    ]
    assert arrows[0] == {("timeout", "more than 20.0 s")}
    assert {ended for ended, _ in arrows[1]} == {"out-of-memory"}
    laws = [one.hover["grows as"][0] for one in time.series if "grows as" in one.hover]
    assert len(laws) == 9
    assert laws[0].startswith("connections^1.0")
    assert (time.rule, memory.rule) == (None, 2**30)
    figure = drawn(scaling(grown), memory)
    (limit,) = figure.select({"type": Span})
    assert limit.location == 2**30


def test_one_topology_leaves_tone_and_shape_to_the_backends():
    records = [
        make_record(make_trial(backend={"name": name}), measures={"net_peak_bytes": 2.0**at})
        for at, name in enumerate(("numba-csr", "scipy-csr"), 20)
    ]
    (row,) = keys(charts(report_data([FakeRun(records)]))[0])
    assert [key.label for key in row] == ["numba-csr", "scipy-csr"]
    assert len({key.tone for key in row}) == len({key.shape for key in row}) == 2


def network(run, record, indptr, indices, columns, **facts):
    folder = run.folder(record)
    folder.mkdir(parents=True)
    arrays = {"W1.indptr": indptr, "W1.indices": indices, "W1.shape": [len(indptr) - 1, columns]}
    with (folder / "model.npz").open("wb") as file:
        write_archive(file, {"shapes": [], **facts}, ((k, np.array(v)) for k, v in arrays.items()))


def test_degrees_come_from_the_networks_that_were_kept(tmp_path):
    record = make_record(make_trial())
    run = FakeRun([record], tmp_path)
    assert degrees(report_data([run])) is None
    network(run, record, [0, 1, 4], [0, 0, 1, 2], 4)
    chart = degrees(report_data([run]))
    assert chart is not None
    assert [panel.title for panel in chart.panels] == ["layer 1, incoming", "layer 1, outgoing"]
    (steps,) = chart.panels[1].series
    assert steps.hover["connections"] == ["0", "1", "2"]
    assert steps.y == [0.25, 0.5, 0.25]


def test_connections_of_pixels_are_an_image_in_both_drawers(tmp_path):
    """2 x 3 pixels of 2 channels, whose connections are added up: 0 0 1 / 0 0 3."""
    record = make_record(make_trial())
    run = FakeRun([record], tmp_path)
    stated = {"height": 2, "width": 3, "channels": 2, "order": "C"}
    network(run, record, [0, 2, 4], [4, 10, 10, 11], 12, image=stated)
    chart = pixels(report_data([run]))
    assert chart is not None
    (panel,) = chart.panels
    assert panel.image == [[0, 0, 1], [0, 0, 3]]
    assert panel.y.limits == (0.0, 3.0)
    shown = png.drawn(chart).axes[0].images[0]
    assert shown.get_array().tolist() == panel.image
    (image,) = drawn(chart, panel).renderers
    assert image.data_source.data["image"][0].tolist() == panel.image[::-1]


def test_pixels_that_are_all_alike_are_not_drawn(tmp_path):
    """They would set the scale of all panels, as those of a dense network do."""
    records = [make_record(make_trial(topology=topology)) for topology in (SET, STATIC)]
    run = FakeRun(records, tmp_path)
    stated = {"height": 1, "width": 2, "channels": 1}
    network(run, records[0], [0, 2, 4], [0, 1, 0, 1], 2, image=stated)
    assert pixels(report_data([run])) is None
    network(run, records[1], [0, 1, 2], [0, 0], 2, image=stated)
    chart = pixels(report_data([run]))
    assert chart is not None
    assert [(panel.title, panel.image) for panel in chart.panels] == [("static", [[2, 0]])]
    assert "Not drawn: set, 2 connections at each pixel." in chart.notes


@pytest.mark.parametrize("stated", [None, {"height": 5, "width": 5, "channels": 1}, {"height": -3}])
def test_what_is_no_image_has_none(tmp_path, stated):
    record = make_record(make_trial())
    run = FakeRun([record], tmp_path)
    network(run, record, [0, 2], [0, 3], 12, image=stated)
    assert pixels(report_data([run])) is None


def test_a_network_that_lies_about_its_size_is_named_and_left_out(tmp_path):
    records = [make_record(make_trial(seed=seed)) for seed in (0, 1)]
    run = FakeRun(records, tmp_path)
    network(run, records[0], [0, 1], [0], 10**15)
    network(run, records[1], [0, 1, 4], [0, 0, 1, 2], 4)
    chart = degrees(report_data([run]))
    assert chart is not None
    assert chart.notes == [
        "1 network could not be read: model.npz: layer 1 cannot have 1000000000000000 columns."
    ]


@pytest.fixture
def store(tmp_path):
    """A store with one run of one trial."""
    return stored(tmp_path / "store", [make_record(make_trial())])


def test_without_a_file_it_goes_to_the_run_and_says_where(store, capsys, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    report_command(["latest"], format="html", store=store.path)
    file = store.run("latest").path / "report.html"
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_text().startswith("<!doctype html>")


def test_the_step_summary_is_markdown_whatever_is_written(store, capsys, monkeypatch, tmp_path):
    page, file = tmp_path / "summary.md", tmp_path / "out" / "index.html"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    report_command(["latest"], output=[file], store=store.path)
    assert capsys.readouterr().out == ""
    assert page.read_text().startswith("# demo\n")
    assert file.read_text().startswith("<!doctype html>")


def test_the_ending_of_the_file_is_the_format(store, monkeypatch, tmp_path):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    both = [tmp_path / "a.html", tmp_path / "a.md"]
    report_command(["latest"], output=both, store=store.path)
    with pytest.raises(SparsebenchError, match="ending of html, not of md"):
        report_command(["latest"], format="md", output=[tmp_path / "b.html"], store=store.path)
    assert (tmp_path / "a.html").read_text().startswith("<!doctype")
    assert (tmp_path / "a.md").read_text().startswith("# demo")


def test_a_run_in_python_gives_the_same_page(store):
    page = Run(store.run("latest")).report("html")
    assert page.startswith("<!doctype html>")
    assert read(page).tables == read(report([store.run("latest")])).tables


def test_an_unknown_format_names_the_nearest(store):
    with pytest.raises(SparsebenchError, match=r"no report format 'htm'\. Did you mean 'html'"):
        report_command(["latest"], format="htm", store=store.path)
