"""The sections of a report and their order: title, summary, results, and how to repeat the runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from sparsebench.analysis.chance import above_chance
from sparsebench.analysis.footnote_marks import backend_legend, noise_footnote
from sparsebench.analysis.number_format import (
    join,
    one,
    result_words,
    sentence_list,
    size,
    upper_first,
)
from sparsebench.analysis.report_data import ReportData, report_data, suite_facts
from sparsebench.analysis.statistics import LEAST_SEEDS
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, printable
from sparsebench.registry import ReportSection
from sparsebench.report import answer, claims, ranks, results, scaling_laws
from sparsebench.report.charts import charts
from sparsebench.report.document import Bullets, Cell, Chart, Code, Section, Table, Text, section
from sparsebench.report.history import history
from sparsebench.report.summary import statements
from sparsebench.store.export_columns import manifest_commit
from sparsebench.store.provenance import commit_name, git_state, pools

if TYPE_CHECKING:
    from sparsebench.store.record import Record
    from sparsebench.store.store import StoredRun

NOTE_TIME = (
    "Time per epoch is the median over a trial's epochs of assembling batches and training, plus "
    "the median of topology updates over the epochs that had one; assembling batches and topology "
    "updates also stand apart, as means over all epochs. Compilation (warm-up) and evaluation are "
    "not in it. Samples per second are those of all epochs together. Bold: the lowest of a setting "
    "and those that are not shown to be higher, where any is. Times hold for this machine only."
)
NOTE_PARTS = (
    "Of steps made by one compiled call, which times its own parts: gathering and scaling the "
    "batch; forward with activations and dropout; backward with the loss, and with the updates "
    "that small batches make at once; other updates. Where several threads make a step, its time "
    "is divided as theirs is."
)
IN_PAPER_TIME = (
    "Time: the median over a trial's epochs of assembling batches and training, plus that of "
    "topology updates over the epochs that had one; compilation (warm-up) is apart."
)
NOTE_MEMORY = (
    "Net peak is the peak of the process minus what it held before the network was built; stored "
    "is what the network keeps between steps: weights, indices, masks, gradients, optimizer state "
    "and activations. Of several processes, net peak and whole process are sums. Bold: the lowest "
    "net peak of a setting and those that are not shown to be higher, where any is."
)
IN_PAPER_MEMORY = (
    "Memory: peak of the process minus what it held before the network was built, the whole "
    "process, and the bytes that the network keeps."
)
NOTE_PREDICTED = (
    "Seconds per epoch, predicted from layers of a few sizes that were timed at the start of the "
    "run: medians over the trials; an error is the difference over the measured time."
)
NOTE_OTHERS = (
    "Metrics of plugins and undeclared numbers: mean ± standard deviation over n seeds; of a "
    "metric of epochs, the latest value of each trial."
)
NOTE_INTERQUARTILE = (
    f"Of cells with {LEAST_SEEDS} seeds or more: the mean of the middle half of the seeds, with "
    "its BCa bootstrap interval at 95 %."
)
NOTE_AGREEMENT = (
    "Backends start from the same connections, weights and batches, and their sums are rounded in "
    "different orders. Where connections are dropped and grown, that may choose others, so small "
    "differences are expected; with a fixed topology hardly any."
)
NOTE_AUDIT = (
    "Each backend's layers were probed on this machine with the same number of connections, "
    "neurons and samples while K x D, the size of the dense matrix, grows: a truly sparse backend "
    "takes no longer and no more memory. Growth is that of the call that grows most, and 1.0 is "
    "none. Peak over declared: the net peak of the trials over the bytes that their networks "
    "declare, the median and the largest; temporary arrays and batches are in it."
)
NOTE_SETTINGS = (
    "What all trials have in common, and what all trials of a component have in common, defaults "
    "included; what differs is in the tables above."
)
NOTE_INEXACT = [
    "Memory was not measured exactly on every machine: see the column ", Code("exact"),
    " of the export.",
]  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """The contents of a report, ready to print.

    found       the trials of the report
    sources     the papers that the suites name as their sources
    statements  the sentences of the summary
    legend      explains the names of backends
    notes       remarks on the trials that hold for the whole report
    where       the section "What ran where": machines, versions and command of each run; empty if
                there is no run
    sections    all other sections, in their order
    commands    command lines that repeat the runs, printed at the end
    charts      the charts that are in no section, the leading one first
    """

    found: ReportData
    title: str
    sources: list[str]
    statements: list[Text]
    legend: str
    notes: list[str]
    where: list[Section]
    sections: list[Section]
    commands: list[str]
    charts: list[Chart]

    @property
    def in_sections(self) -> list[Chart]:
        return [chart for section in self.sections for chart in section.charts]


def contents(runs: Sequence[StoredRun], earlier: Sequence[StoredRun] = ()) -> Contents:
    """The contents of a report of these runs.

    earlier  runs that only appear in the section on history
    """
    found, facts = report_data(runs), [suite_facts(run) for run in runs]
    titles = [str(f.get("title") or f.get("name") or run.id) for f, run in zip(facts, runs)]
    lead = next((str(f["lead"]) for f in facts if f.get("lead")), "")
    requested = next((f["report"]["chart"] for f in facts if "chart" in f.get("report", {})), None)
    several = history([*earlier, *runs], found) if earlier else []
    made = [*several, *_sections(found)]
    notes = [*found.notes, *other_code(found)]
    try:
        sections, shown = _with_lead(made, found, lead, requested)
    except (SparsebenchError, TypeError) as error:  # the file's form was checked, its columns not
        sections, shown = _with_lead(made, found, lead, None)
        notes.append(f"The leading chart that the suite describes cannot be drawn: {error}.")
    drawn = [chart.name for chart in (*shown, *(c for s in sections for c in s.charts))]
    if lead and drawn and lead not in drawn:
        names = sentence_list(list(dict.fromkeys(drawn)))
        notes.append(
            f"The suite leads with the chart {lead!r}, which is not here: there is {names}."
        )
    return Contents(
        found=found,
        title=sentence_list(list(dict.fromkeys(titles))) or "No runs",
        sources=list(dict.fromkeys(str(f["source"]) for f in facts if f.get("source"))),
        statements=statements(found),
        legend=backend_legend(found.frame),
        notes=notes,
        where=[Section("What ran where", [_where(runs, found)])] if runs else [],
        sections=sections,
        commands=list(dict.fromkeys(map(command, runs))),
        charts=shown,
    )


def other_code(found: ReportData) -> list[str]:
    """A note if trials ran with other code than the one that prints the report, or with different
    versions."""
    now, names = commit_name(git_state()), list(dict.fromkeys(filter(None, found.frame["commit"])))
    shown = sentence_list([printable(name[:10] + name[40:]) for name in names])
    if len(names) > 1:
        return [f"The trials ran with the code of {len(names)} commits ({shown})."]
    if names and now and names != [now]:
        return [f"The trials ran with the code of another commit than this report's: {shown}."]
    return []


def _with_lead(
    sections: list[Section], found: ReportData, lead: str, requested: Mapping[str, Any] | None
) -> tuple[list[Section], list[Chart]]:
    """The sections, and the charts that are in no section, the leading chart first.

    If the suite names a chart of a section (`lead`), that one leads and is taken out of the
    section. If it names and requests none, the first chart of the plugins' sections before the
    results leads.

    requested  arguments of `line_chart.line` for a leading chart, from the suite
    """
    shown = charts(found.trained, lead, requested)
    own = {one.name: one for section in sections for one in section.charts}
    first = next((c.name for s in sections if s.place == "before" for c in s.charts), "")
    name = lead or ("" if requested else first)
    if name not in own:
        return sections, shown
    without = [
        replace(section, blocks=[b for b in section.blocks if b is not own[name]])
        for section in sections
    ]  # fmt: skip
    return without, [own[name], *shown]


def _sections(found: ReportData) -> Iterator[Section]:
    """Yield the sections for which the trials have data, in the order of the report."""
    trained, added = found.trained, plugin_sections(found)
    yield from answer.sections(found)
    yield from (one for one in added if one.place == "before")
    for judged in trained.by_primary():
        yield from _results(judged)
    if not trained.ok.empty:
        exactness = None if trained.ok["exact"].all() else NOTE_INEXACT
        times = _in_paper(results.time_table(trained), "time", IN_PAPER_TIME)
        yield from section("Time", times, NOTE_TIME, *noise_footnote(trained.ok))
        parts = _in_paper(results.parts_table(trained), "parts", "Seconds per epoch, by part.")
        yield from section("Where the time of a step goes", parts, NOTE_PARTS)
        memory = _in_paper(results.memory_table(trained), "memory", IN_PAPER_MEMORY)
        yield from section("Memory", memory, NOTE_MEMORY, exactness)
        predicted = results.predictions_table(trained)
        yield from section("Predicted and measured", predicted, NOTE_PREDICTED)
        yield from section("Connections", results.connections_table(trained))
        others = _in_paper(results.other_table(trained), "other", "Other metrics.")
        yield from section("Other metrics", others, NOTE_OTHERS)
    yield from (one for one in added if one.place == "after")
    if not trained.ok.empty:
        yield from scaling_laws.fits(trained)
        yield from scaling_laws.crossovers(trained)
        yield from ranks.sections(trained)
    if any(record.audit.get("probe") for record in found.records):
        yield from section("Honesty audit", results.audit_table(found), NOTE_AUDIT)
    yield from claims.sections(found)
    yield from deviations(found)
    agreement = results.agreement_table(trained.of_primary)
    yield from section("Agreement between backends", agreement, NOTE_AGREEMENT)
    yield from section("Failures", results.failures_table(found))
    yield from section("Not run", results.not_run_table(found))
    yield from section("Data", results.data_table(found))
    yield from section("Settings", results.settings_table(found), NOTE_SETTINGS)


def deviations(found: ReportData) -> list[Section]:
    """The section on deviations: in what the suites differ from the sources of their claims."""
    texts = dict.fromkeys(
        str(text)
        for run in {run.id: run for run in found.runs}.values()
        for text in suite_facts(run).get("deviations", ())
    )
    return section("Deviations from the source", Bullets(list(texts)) if texts else None)


def _results(judged: ReportData) -> list[Section]:
    metric = judged.primary
    heading, best = result_words(metric)
    after = f"{upper_first(metric.heading)} after the last epoch"
    note = (
        f"{after}: mean ± standard deviation over n seeds. Only trials that finished count. Bold: "
        f"the {best} mean of a setting and those that are not shown to be worse (tests of three "
        "seeds or more, Holm), where any is."
    )
    label = metric.name.removeprefix("test_").replace("_", "-")
    above = above_chance(judged)
    at_chance = sorted(set(judged.frame["dataset"]) - set(above.frame["dataset"]))
    left_out = (
        f"No network on {sentence_list(at_chance)} is shown to beat the most frequent class, so "
        "accuracies there are left out."
    )
    made = _in_paper(results.result_table(above), label, f"{after}.")
    if made is None:
        return section(heading, left_out if at_chance else None)
    robust = results.interquartile_table(above)
    return section(
        heading, made, note, left_out if at_chance else None,
        robust, NOTE_INTERQUARTILE if robust else None,
    )  # fmt: skip


def _in_paper(made: Table | None, label: str, caption: str) -> Table | None:
    return None if made is None else made.in_paper(label, caption)


def plugin_sections(
    found: ReportData, declared: Sequence[ReportSection] | None = None
) -> list[Section]:
    """The sections that plugins add by the hook `register_report_sections` and that have data for
    these trials.

    If a section raises an exception, a line about it takes its place, so that the rest of the
    report is printed.

    declared  the registered sections; by default those of the installed plugins
    """
    made = []
    for new in load_plugins().report_sections if declared is None else declared:
        place: Literal["before", "after"] = "before" if new.place == "before" else "after"
        try:
            blocks = [block for block in new.load()(found) if block]
        except Exception as error:
            reason = Code(f"{type(error).__name__}: {error}")
            blocks = [["This section of plugin ", Code(new.owner), " failed: ", reason]]
        if blocks:
            anchor = Section(new.title, ()).anchor
            captioned = [
                block.in_paper(block.label or anchor, block.caption or f"{new.title}.")
                if isinstance(block, Table) else block
                for block in blocks
            ]  # fmt: skip
            made.append(Section(new.title, captioned, place))
    return made


# --- where it ran, and how to repeat it ----------------------------------------------


def _where(runs: Sequence[StoredRun], found: ReportData) -> Table:
    """A table of machines, versions and commands with a column per run."""
    facts = [_provenance(run, found) for run in runs]
    keys = list(dict.fromkeys(key for one in facts for key in one))
    rows = [[key, *(Cell(one.get(key, "")) for one in facts)] for key in keys]
    return Table(["run", *(run.id for run in runs)], rows, left=1 + len(runs))


def _provenance(run: StoredRun, found: ReportData) -> dict[str, Text]:
    """The known circumstances of a run, by name."""
    part = found.frame[found.frame["run"] == run.id]
    records = found.records_of(part)
    machines = {str(r.machine.get("id", "")): r.machine for r in records if r.machine}
    if not machines and run.manifest.get("machine"):
        machines = {"": run.manifest["machine"]}
    versions = run.manifest.get("versions") or {}
    for record in records:
        versions = {**record.fingerprint.get("versions", {}), **versions}
    commits = [commit for commit in dict.fromkeys(part["commit"]) if commit]
    facts: dict[str, Text] = {
        "machine": "; ".join(_machine(m) for m in machines.values()),
        "threads": ", ".join(str(n) for n in sorted(part["threads"].unique())),
        "side by side": "yes: times are contended" if part["contended"].any() else "",
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "linear algebra": "; ".join(_libraries(records)),
        "started": min((r.started for r in records if r.started), default=""),
        "ended": max((r.ended for r in records if r.ended), default=""),
        "command": [Code(command(run))],
        "commit": ", ".join(commits or [manifest_commit(run.manifest)]),
    }
    return {key: value for key, value in facts.items() if value}


def _machine(machine: Mapping[str, Any]) -> str:
    """A machine in words: `ab12: Intel Xeon, 2 of 4 cores, 7.8 GiB, Linux 6.1`."""
    cores, usable = machine.get("cores"), machine.get("usable_cores")
    memory = machine.get("memory_bytes")
    known = join(
        machine.get("cpu", ""),
        f"{usable} of {cores} cores" if usable and usable != cores else f"{cores} cores",
        size(one(float(memory))) if memory else "",
        f"{machine.get('system', '')} {machine.get('kernel', '')}".strip(),
        f"Python {machine['python']}" if machine.get("python") else "",
    )
    return f"{machine['id']}: {known}" if machine.get("id") else known


def _libraries(records: Iterable[Record]) -> list[str]:
    """The libraries of linear algebra, each once: `openblas 0.3.30 (Haswell), 2 threads`."""
    named = []
    for pool in pools(records):
        if pool.get("internal_api", "openmp") == "openmp":  # threads only
            continue
        threads, architecture = pool.get("num_threads"), pool.get("architecture")
        name = " ".join(str(pool[key]) for key in ("internal_api", "version") if pool.get(key))
        name += f" ({architecture})" if architecture else ""
        named.append(join(name, f"{threads} thread{'s' * (threads != 1)}" if threads else ""))
    return list(dict.fromkeys(named))


def command(run: StoredRun) -> str:
    """The command line that made a run, with absolute paths shortened to their last name; by
    default `sparsebench run` with the suite's name."""
    argv = [str(part) for part in run.manifest.get("argv", ())]
    if not argv:
        return f"sparsebench run {suite_facts(run).get('name', 'SUITE')}"
    started_by = PurePath(argv[0]).name
    rest = argv[1:] if started_by in ("sparsebench", "__main__.py") else argv
    rest = [PurePath(part).name if part.startswith("/") else part for part in rest]
    return printable(shlex.join(["sparsebench", *rest])).replace("`", "'")
