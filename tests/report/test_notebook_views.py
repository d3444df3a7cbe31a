"""What a notebook shows of runs, trials and comparisons, and of a run under way."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from records import SET, STATIC, FakeRun, make_record, make_trial, realistic

from sparsebench.analysis.comparison import compare
from sparsebench.analysis.comparison_sides import side_of
from sparsebench.analysis.gates import default_gates, resolve_gates
from sparsebench.api import Run
from sparsebench.errors import NothingMatched
from sparsebench.notebook.cards import MOST_ROWS, Card, Row
from sparsebench.notebook.progress import Live, in_notebook
from sparsebench.notebook.views import Compared
from sparsebench.suite.labels import label

HOSTILE = "<script>alert(1)</script> & \x1b[31m"


class Checked(HTMLParser):
    """Tags that are closed in order, and none that loads or runs anything."""

    def __init__(self, page):
        super().__init__()
        self.open, self.cells, self.bad = [], [], 0
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in ("div", "strong", "table", "thead", "tbody", "tr", "th", "td", "pre")
        assert {name for name, _ in attrs} <= {"class", "style"}
        assert "url(" not in dict(attrs).get("style", "")
        self.bad += dict(attrs).get("class") == "bad"
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(realistic(tmp_path_factory.mktemp("run"), epochs=3))


def test_a_run_is_a_table_of_its_cells(run):
    page = run._repr_html_()
    found = Checked(page)
    assert "28 trials: 27 ok, 1 skipped" in page
    assert "Sparse | dense on handwritten digits" in page
    assert found.cells.count("numba-csr") == 4
    assert found.bad == 0


def test_failures_stand_out_unless_they_are_expected():
    scipy, dense = ({"name": name} for name in ("scipy-csr", "dense-mask"))
    records = [
        make_record(make_trial()), make_record(make_trial(backend=scipy), "timeout"),
        make_record(make_trial(backend=dense), "out-of-memory"),
    ]  # fmt: skip
    page = Run(FakeRun(records))._repr_html_()
    assert "1 out-of-memory (1 expected)" in page
    assert Checked(page).bad == 1


def test_text_of_others_is_only_shown():
    trial = make_trial(topology={"name": HOSTILE, "prune": None})
    run = Run(FakeRun([make_record(trial, "error", detail=HOSTILE, log_tail=HOSTILE)],
                      suite_text=f"title = '''{HOSTILE[:-5]}'''"))  # fmt: skip
    for page in (run._repr_html_(), run.trial(trial.id)._repr_html_()):
        Checked(page)
        assert "<script" not in page
        assert "\x1b" not in page
        assert "&lt;script&gt;" in page


def test_a_long_table_shows_the_bad_rows_first():
    rows = [Row([f"row {i}"], bad=i == 70) for i in range(80)]
    found = Checked(Card("many", header=["name"], rows=rows).html("look there"))
    assert found.cells[1] == "row 70"
    assert len(found.cells) == 1 + MOST_ROWS
    assert "50 more rows: look there" in Card("many", header=["name"], rows=rows).html("look there")


def test_a_trial_by_id_and_by_label(run):
    record = run.records[0]
    trial = run.trial(record.trial.id[:8])
    assert trial.id == record.trial.id
    assert trial.epochs()["epoch"].tolist() == [1, 2, 3]
    cells = Checked(trial._repr_html_()).cells
    assert cells[cells.index("net_peak_bytes") + 1].endswith("KiB")
    with pytest.raises(NothingMatched, match=r"no trial 'zz'.*Known: .*run.trials"):
        run.trial("zz")
    with pytest.raises(NothingMatched, match="the start of several"):
        run.trial(label(record.trial))


def measured(accuracy, **changed):
    return [
        make_record(make_trial(seed=seed, **changed), started=f"{accuracy}",
                    measures={"test_accuracy": accuracy + 0.001 * seed, "net_peak_bytes": 2**26})
        for seed in range(5)
    ]  # fmt: skip


def test_a_comparison_shows_what_is_not_the_same():
    base, head = measured(0.95), measured(0.90)
    found = Compared(compare(side_of(base), side_of(head), default_gates()))
    page = found._repr_html_()
    parsed = Checked(page)
    assert found.exit_code == 3
    assert "FAILED: 1 finding beyond a gate" in page
    assert parsed.bad == 1
    assert "test_accuracy" in parsed.cells
    assert "stored_bytes" not in parsed.cells
    assert "-5.00 points" in parsed.cells
    frame = found.frame().set_index("metric")
    assert frame.loc["test_accuracy", "fails"]
    assert frame.loc["test_accuracy", "effect"] == pytest.approx(-0.05)
    assert frame.loc["test_accuracy", "base"] == pytest.approx(0.952)
    assert repr(found).startswith("<Compared: FAILED")


def test_gates_as_given_win():
    gates = resolve_gates(
        None, ["test_accuracy:-10points"], 3, 0.01, True, default_gates(), time_gate=True
    )
    assert (gates.alpha, gates.min_seeds, gates.strict) == (0.01, 3, True)
    assert gates.by_metric["test_accuracy"].floor == pytest.approx(0.1)
    assert gates.by_metric["epoch_seconds"].action == "fail"


@pytest.mark.parametrize("name", ["accuracy", "curves"])
def test_plots_are_figures_that_a_notebook_shows(run, name):
    figure = getattr(run.plot, name)()
    assert isinstance(figure, Figure)
    assert figure._repr_png_()[1:4] == b"PNG"


@pytest.mark.parametrize("name", ["scaling", "ranks"])
def test_a_plot_of_nothing_says_what_it_needs(run, name):
    with pytest.raises(NothingMatched, match=rf"nothing to plot by {name}\(\): needs "):
        getattr(run.plot, name)()


@pytest.fixture
def shown(monkeypatch):
    """What a kernel would show: the pages, in the order of their updates."""
    pages = []

    def display(page, display_id):
        assert display_id
        pages.append(page)
        return SimpleNamespace(update=pages.append)

    fake = SimpleNamespace(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=fake))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    return pages


def test_progress_in_a_notebook(shown):
    live, good, bad = Live(), make_trial(topology=SET), make_trial(topology=STATIC)
    live.started("r1", 2)
    live.compiling(["numba-csr"])
    assert "compiling numba-csr" in shown[-1]
    live.trial_started(good, 1)
    assert label(good) in shown[-1]
    live.trial_ended(good, make_record(good), False)
    live.trial_started(bad, 2)
    live.trial_ended(bad, make_record(bad, "timeout", detail="<b>no end</b>"), False)
    live.ended(SimpleNamespace())
    last = shown[-1]
    Checked(last)
    assert "2/2 trials, 1 ok, 1 timeout" in last
    assert "&lt;b&gt;no end&lt;/b&gt;" in last


def test_a_script_is_no_notebook():
    assert not in_notebook()
    done = subprocess.run(
        [sys.executable, "-c", "import sparsebench, sys; sparsebench.run, sparsebench.compare\n"
         "print([m for m in ('pandas', 'scipy', 'jinja2', 'IPython') if m in sys.modules])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
