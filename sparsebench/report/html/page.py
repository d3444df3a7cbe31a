"""Prints the report as one HTML file, which contains everything and loads nothing from the
network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bokeh.embed import json_item
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from sparsebench.analysis.claims import Holds, Judged, judge
from sparsebench.analysis.number_format import in_unit, join, one, printable_lines
from sparsebench.analysis.report_data import BAD, CELL, NOT_RUN, ReportData
from sparsebench.core.files import jsonable
from sparsebench.report.claims import against
from sparsebench.report.document import (
    Bold,
    Bullets,
    Cell,
    Chart,
    Code,
    Table,
    Text,
    number,
    parts,
    plain,
)
from sparsebench.report.html.bokeh_charts import drawn, keys
from sparsebench.report.html.explore import explorer
from sparsebench.report.sections import command, contents

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

MOST_TRIALS = 3000
"""The most rows in the table of all trials; an export has all."""

MOST_LOGS = 50
LONGEST_LOG = 4000
"""The number of last characters of a log that are shown."""

LONG = 60
"""A cell of words with at least this many characters may take several lines."""

NUMBERS = ("epoch_seconds", "wall_seconds", "net_peak_bytes", "stored_bytes", "connections")

ELSEWHERE = ("argv", "trials")
"""Keys of a manifest that are not shown, because the command is shown without the user's folders
and the trials are shown in a table."""

MARKS = {
    Holds.HOLDS: ("✓", "good"),
    Holds.FAILS: ("✗", "bad"),
    Holds.CANNOT_TELL: ("?", "plain"),
    Holds.TOO_FEW: ("?", "plain"),
    Holds.NOT_RUN: ("–", "plain"),
    Holds.SHOWN: ("=", "plain"),
}
"""Marks that differ by shape and by word, so that they can be read without colour."""


def report(stored_runs: Sequence[StoredRun], earlier: Sequence[StoredRun] = ()) -> str:
    """The page of one report over all the runs, with the same numbers as the markdown.

    earlier  runs that only appear in the section on history
    """
    made = contents(stored_runs, earlier)
    shown = [*made.charts, *made.in_sections]
    environment = Environment(
        loader=PackageLoader("sparsebench.report.html"), autoescape=True, trim_blocks=True,
        undefined=StrictUndefined, finalize=printable_lines, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "inline": inline,
        "plain": plain,
        "embedded": embedded,
        "json": lambda data: htmlsafe_json_dumps(data, separators=(",", ":")),
        "also": lambda cells: " · ".join(filter(None, (plain(cell.text) for cell in cells))),
    }
    environment.tests["table"] = lambda block: isinstance(block, Table)
    environment.tests["chart"] = lambda block: isinstance(block, Chart)
    environment.tests["bullets"] = lambda block: isinstance(block, Bullets)
    found_logs = logs(made.found)
    script = Resources(mode="inline", components=["bokeh"], log_level="error")
    page: str = environment.get_template("page.html.jinja").render(
        made=made,
        runs=[run.id for run in stored_runs],
        long=LONG,
        explore=explorer(made.found.trained),
        statuses=_statuses(made.found),
        claims=_claims(made.found),
        drawn={one.name: (keys(one), [(p, drawn(one, p)) for p in one.panels]) for one in shown},
        bokeh=Markup(script.render_js()) if shown else "",
        logs=found_logs,
        trials=_trials(made.found, [one for log in found_logs[0] for one in log.trials]),
        provenance=[document for run in stored_runs for document in _provenance(run)],
    )
    return page


def embedded(figure: Any) -> Markup:
    """A figure as JSON that is safe within a script element."""
    return htmlsafe_json_dumps(json_item(figure), separators=(",", ":"))


def inline(text: Text) -> Markup:
    """A text as HTML, its bold and code parts marked."""
    marked = {Bold: Markup("<strong>{}</strong>"), Code: Markup("<code>{}</code>")}
    shown = [marked.get(type(part), Markup("{}")).format(str(part)) for part in parts(text)]
    return Markup("").join(shown)


def _statuses(found: ReportData) -> list[tuple[str, str, int]]:
    """For each status: its class in the style sheet, its words, and its number of trials."""
    shown = []
    counts = Counter(zip(found.frame["status"], found.frame["expected"]))
    for (status, expected), n in counts.items():
        kind = "plain" if expected or status in NOT_RUN else "bad"
        words = f"{status}, as expected" if expected and status != "ok" else str(status)
        shown.append(("good" if status == "ok" else kind, words, n))
    return shown


def _claims(found: ReportData) -> list[dict[str, Any]]:
    """The claims of the suites with their cells, in the order of the suites."""
    claims: dict[tuple[str, str], list[Judged]] = {}
    for row in judge(found):
        claims.setdefault((row.text, row.source), []).append(row)
    return [
        {
            "text": text,
            "source": source,
            "lines": [_line(row) for row in rows],
            "counts": [
                (*MARKS[verdict], str(verdict), n)
                for verdict in Holds
                if (n := sum(row.verdict is verdict for row in rows))
            ],
        }
        for (text, source), rows in claims.items()
    ]


def _line(row: Judged) -> dict[str, Any]:
    """The line of a claim about one cell, or about a pair of cells."""
    mark, kind = MARKS[row.verdict]
    ours, other = (in_unit(row.metric, side) for side in (row.ours, row.other))
    between = "published" if row.published else "against"
    numbers = f"{ours} (n = {row.ours.n}), {between} {other}: {against(row)}"
    trials = inline(row.trials)
    if row.against and not row.published:
        both = Markup('{} <span class="quiet">against</span> {}')
        trials = both.format(trials, inline(row.against))
    return {
        "mark": mark,
        "kind": kind,
        "verdict": str(row.verdict),
        "trials": trials,
        "numbers": numbers if row.ours.n else "",
        "reason": row.reason,
    }


def _provenance(run: StoredRun) -> list[tuple[str, str]]:
    """Titles and texts on the provenance of a run: its manifest, its end, its suite."""
    manifest = {key: value for key, value in run.manifest.items() if key not in ELSEWHERE}
    ended = [event for event in run.events() if event.get("event") == "ended"]

    def shown(data: Mapping[str, Any]) -> str:
        return json.dumps(jsonable(data), indent=1, ensure_ascii=False)

    documents = {
        "manifest, with the environment at the start": shown({"command": command(run), **manifest}),
        "at the end": shown(ended[-1]) if ended else "",
        "suite": run.suite_text,
    }
    return [(f"{run.id}: {name}", text) for name, text in documents.items() if text.strip()]


@dataclass
class Log:
    """The log of trials of one cell that ended in the same way with the same last lines."""

    cell: str
    status: str
    detail: str
    tail: str
    expected: bool
    seeds: list[int] = field(default_factory=list)
    trials: list[str] = field(default_factory=list)


def logs(report_data: ReportData) -> tuple[list[Log], int]:
    """At most `MOST_LOGS` logs, unexpected failures first; and how many more there are."""
    found: dict[tuple[str, ...], Log] = {}
    bad = report_data.frame[report_data.frame["status"].isin(BAD)]
    for (_, row), record in zip(bad.iterrows(), report_data.records_of(bad)):
        cell = join(*(row[name] for name in CELL))
        status = ": ".join(filter(None, [str(record.status), record.cause]))
        tail = record.log_tail[-LONGEST_LOG:]
        new = Log(cell, status, record.detail, tail, bool(row["expected"]))
        log = found.setdefault((cell, status, record.detail, tail), new)
        log.seeds.append(record.trial.seed)
        log.trials.append(record.trial.id)
    ordered = sorted(found.values(), key=lambda log: log.expected)
    return ordered[:MOST_LOGS], max(0, len(ordered) - MOST_LOGS)


def _trials(report_data: ReportData, with_logs: Collection[str]) -> tuple[Table, list[str], int]:
    """A table of at most `MOST_TRIALS` trials in planned order, their ids, and the number of
    further trials."""
    frame = report_data.frame
    results = [name for name in dict.fromkeys(frame["primary"]) if name in frame]
    used = [report_data.metrics[name] for name in (*results, *NUMBERS) if frame[name].notna().any()]
    words = CELL if report_data.varied else CELL[1:]
    header = [*(name.removesuffix("_label") for name in words), "trial", "status", "seed"]
    folds = ["fold"] if frame["folds"].any() else []
    rows = []
    shown = frame.head(MOST_TRIALS)
    for (_, row), record in zip(shown.iterrows(), report_data.records_of(shown)):
        cause = f" ({row['cause']})" if row["cause"] else ""
        log = str(row["trial"]) if row["trial"] in with_logs else ""
        rows.append(
            [*(str(row[name]) for name in words), Cell([Code(row["trial"])]),
             Cell(f"{row['status']}{cause}", log=log), int(row["seed"]),
             *(record.trial.fold or "" for _ in folds),
             *(number(metric, one(float(row[metric.name]))) for metric in used)]
        )  # fmt: skip
    table = Table(
        [*header, *folds, *(metric.heading for metric in used)], rows, left=len(words) + 2
    )
    ids = [str(trial) for trial in frame["trial"].head(MOST_TRIALS)]
    return table, ids, max(0, len(frame) - MOST_TRIALS)
