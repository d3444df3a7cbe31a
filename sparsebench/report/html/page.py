"""The report as one HTML file: everything is in it, and it asks no network for anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bokeh.embed import json_item
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from sparsebench.analysis.evidence import Evidence, evidence, suite_facts
from sparsebench.analysis.formats import sentence_list
from sparsebench.analysis.marks import backend_legend
from sparsebench.report.html import charts, logs, provenance, trials, verdicts
from sparsebench.report.html.prose import inline
from sparsebench.report.html.sections import sections
from sparsebench.report.markdown import command, remarks, where
from sparsebench.report.markdown import sections as questions
from sparsebench.report.summary import statements

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun


def report(stored_runs: Sequence[StoredRun]) -> str:
    """The page of one report over all the runs, with the numbers of its markdown."""
    found = evidence(stored_runs)
    drawn = charts.charts(found.trained)
    page: str = _template().render(
        title=_title(stored_runs),
        sources=_facts(stored_runs, "source"),
        runs=[run.id for run in stored_runs],
        statements=[inline(text) for text in statements(found)],
        legend=inline(backend_legend(found.frame)),
        notes=[inline(note) for note in found.notes],
        statuses=_statuses(found),
        claims=verdicts.verdicts(found),
        charts=drawn,
        bokeh=_bokeh() if drawn else "",
        sections=sections(questions(found)),
        logs=logs.logs(found),
        trials=trials.trials(found),
        where=sections(where(stored_runs, found)),
        provenance=[provenance.provenance(run) for run in stored_runs],
        remarks=sections(remarks(stored_runs)),
        commands=list(dict.fromkeys(command(run) for run in stored_runs)),
    )
    return page


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("sparsebench.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = embedded
    return environment.get_template("page.html.jinja")


def embedded(figure: Any) -> Markup:
    """A figure as JSON that is safe within a script element."""
    return htmlsafe_json_dumps(json_item(figure), separators=(",", ":"))


def _bokeh() -> Markup:
    """Bokeh's own script, without the widgets and the tables that the page does not use."""
    return Markup(Resources(mode="inline", components=["bokeh"], log_level="error").render_js())


def _title(runs: Sequence[StoredRun]) -> str:
    facts = [suite_facts(run) for run in runs]
    titles = [str(f.get("title") or f.get("name") or run.id) for f, run in zip(facts, runs)]
    return sentence_list(list(dict.fromkeys(titles))) or "No runs"


def _facts(runs: Sequence[StoredRun], name: str) -> list[str]:
    facts = [suite_facts(run) for run in runs]
    return list(dict.fromkeys(str(one[name]) for one in facts if one.get(name)))


def _statuses(found: Evidence) -> list[tuple[str, str, int]]:
    """Kind, words and number of trials for each way of ending; kinds are of the style sheet."""
    told: dict[tuple[str, str], int] = {}
    for status, expected in zip(found.frame["status"], found.frame["expected"]):
        foreseen = expected and status != "ok"
        key = (_kind(status, foreseen), f"{status}, as expected" if foreseen else str(status))
        told[key] = told.get(key, 0) + 1
    return [(kind, words, n) for (kind, words), n in told.items()]


def _kind(status: str, foreseen: bool) -> str:
    if status == "ok":
        return "good"
    return "plain" if foreseen or status in ("skipped", "unsupported") else "bad"
