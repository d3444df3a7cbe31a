"""The report as GitHub-flavoured markdown: the answer first, then the tables it rests on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sparsebench.analysis.evidence import Evidence, evidence, suite_facts
from sparsebench.analysis.formats import (
    code,
    escape,
    one,
    result_words,
    sentence_list,
    size,
    table,
    upper_first,
)
from sparsebench.analysis.marks import backend_legend, noise_footnote
from sparsebench.report import (
    audit_table,
    crossover_table,
    interquartile_table,
    published,
    ranks_table,
    tables,
)
from sparsebench.report.fit_tables import fits
from sparsebench.report.plot_files import Plot, write_plots
from sparsebench.report.plugin_sections import plugin_sections
from sparsebench.report.predictions import predictions_table
from sparsebench.report.summary import summary
from sparsebench.store.frames import manifest_commit

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

NOTE_TIME = (
    "Time per epoch is the median over a trial's epochs of assembling batches and training, plus "
    "the median of topology updates over the epochs that had one; compilation (warm-up) and "
    "evaluation are apart. The lowest of each setting is bold. Times hold for this machine only."
)
NOTE_MEMORY = (
    "Net peak is the peak of the process minus what it held before the network was built; stored "
    "is what the network itself keeps: values, indices, masks and optimizer state. The lowest net "
    "peak of each setting is bold."
)
NOTE_PREDICTED = (
    "Seconds per epoch, predicted from layers of a few sizes that were timed at the start of the "
    "run. Each number is the median over the trials; an error is the difference over what was "
    "measured."
)
NOTE_OTHERS = (
    "Metrics that plugins declare, and numbers that nobody declared, as mean ± standard deviation "
    "over n seeds; of a metric of epochs, the latest value of each trial."
)
NOTE_AGREEMENT = (
    "Backends start from the same connections, weights and batches. Over many steps float32 "
    "rounding changes which connections are dropped, so small differences are expected."
)


def report(
    stored_runs: Sequence[StoredRun], folder: Path, *, prefix: str = "", links: str = ""
) -> str:
    """The markdown of one report over all the runs; its plots are written into `folder`.

    Plot files start with `prefix`; `links` goes before their names in the text.
    """
    found = evidence(stored_runs)
    plots = write_plots(found.trained, folder, prefix)
    parts = [
        _heading(stored_runs),
        summary(found),
        backend_legend(found.frame),
        *found.notes,
        *where(stored_runs, found),
        *sections(found),
        *_plots(plots, links),
        *remarks(stored_runs),
        _repeat(stored_runs),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(runs: Sequence[StoredRun]) -> str:
    facts = [suite_facts(run) for run in runs]
    titles = [str(f.get("title") or f.get("name") or run.id) for f, run in zip(facts, runs)]
    lines = [f"# {escape(sentence_list(list(dict.fromkeys(titles)))) or 'No runs'}"]
    sources = dict.fromkeys(str(f["source"]) for f in facts if f.get("source"))
    lines += [f"Source: {escape(source)}" for source in sources]
    return "\n\n".join(lines)


def sections(found: Evidence) -> Iterator[str]:
    """A heading, a table and a note for each question that the trials answer."""
    added = plugin_sections(found)
    for section in added:
        if section.place == "before":
            yield from section.markdown()
    trained = found.trained
    for judged in trained.by_primary():
        heading, best = result_words(judged.primary)
        yield from (f"## {heading}", tables.result_table(judged))
        yield (
            f"{upper_first(judged.primary.heading)} after the last epoch: mean ± standard "
            f"deviation over n seeds; the {best} mean of each setting is bold. Only trials that "
            "finished count."
        )
        robust = interquartile_table.interquartile_table(judged)
        if robust:
            yield from (robust, interquartile_table.NOTE)
    if not trained.ok.empty:
        yield from ("## Time", tables.time_table(trained), NOTE_TIME, noise_footnote(trained.ok))
        yield from ("## Memory", tables.memory_table(trained), NOTE_MEMORY, _inexact(trained))
        predicted = predictions_table(trained)
        if predicted:
            yield from ("## Predicted and measured", predicted, NOTE_PREDICTED)
        yield from ("## Connections", tables.connections_table(trained))
        others = tables.other_table(trained)
        if others:
            yield from ("## Other metrics", others, NOTE_OTHERS)
    for section in added:
        if section.place == "after":
            yield from section.markdown()
    if not trained.ok.empty:
        yield from fits(trained)
        yield from crossover_table.section(trained)
        yield from ranks_table.section(trained)
    yield from audit_table.section(found)
    yield from published.section(found)
    agreement = tables.agreement_table(trained.of_primary)
    if agreement:
        yield from ("## Agreement between backends", agreement, NOTE_AGREEMENT)
    failures = tables.failures_table(found)
    if failures:
        yield from ("## Failures", failures)
    not_run = tables.not_run_table(found)
    if not_run:
        yield from ("## Not run", not_run)


def _inexact(found: Evidence) -> str:
    if found.ok["exact"].all():
        return ""
    return "Memory was not measured exactly on every machine: see the column `exact` of the export."


def _plots(plots: Sequence[Plot], links: str) -> Iterator[str]:
    if plots:
        yield "## Plots"
    for plot in plots:
        target = quote(links + plot.path.name, safe="/:~")
        yield f"### {plot.title}"
        yield f"![{plot.title}]({target})"
        yield plot.caption


def where(runs: Sequence[StoredRun], found: Evidence) -> Iterator[str]:
    """What ran where: a table with a column per run."""
    if not runs:
        return
    yield "## What ran where"
    facts = [_provenance(run, found) for run in runs]
    keys = list(dict.fromkeys(k for f in facts for k in f))
    rows = [[key, *(one.get(key, "") for one in facts)] for key in keys]
    yield table(["run", *(escape(run.id) for run in runs)], rows, left=1 + len(runs))


def _provenance(run: StoredRun, found: Evidence) -> dict[str, str]:
    """What is known of a run's circumstances, by name."""
    mine = found.frame["run"] == run.id
    part = found.frame[mine]
    records = [r for r, own in zip(found.records, mine) if own]
    machines = {str(r.machine.get("id", "")): r.machine for r in records if r.machine}
    if not machines and run.manifest.get("machine"):
        machines = {"": run.manifest["machine"]}
    versions = run.manifest.get("versions") or {}
    for record in records:
        versions = {**record.fingerprint.get("versions", {}), **versions}
    facts = {
        "machine": "; ".join(_machine(m) for m in machines.values()),
        "threads": ", ".join(str(n) for n in sorted(part["threads"].unique())),
        "side by side": "yes: times are contended" if part["contended"].any() else "",
        "versions": escape(", ".join(f"{k} {v}" for k, v in versions.items())),
        "started": escape(min((r.started for r in records if r.started), default="")),
        "ended": escape(max((r.ended for r in records if r.ended), default="")),
        "command": code(command(run)),
        "commit": escape(", ".join(_commits(run, part["commit"].tolist()))),
    }
    return {key: value for key, value in facts.items() if value}


def _commits(run: StoredRun, recorded: Sequence[str]) -> list[str]:
    """The commits of the records; that of the run where no record names one."""
    known = [commit for commit in dict.fromkeys(recorded) if commit]
    return known or [manifest_commit(run.manifest)]


def _machine(machine: Mapping[str, Any]) -> str:
    """`ab12: Intel Xeon, 2 of 4 cores, 7.8 GiB, Linux 6.1`."""
    cores, usable = machine.get("cores"), machine.get("usable_cores")
    memory = machine.get("memory_bytes")
    parts = [
        str(machine.get("cpu", "")),
        f"{usable} of {cores} cores" if usable and usable != cores else f"{cores} cores",
        size(one(float(memory))) if memory else "",
        f"{machine.get('system', '')} {machine.get('kernel', '')}".strip(),
        f"Python {machine['python']}" if machine.get("python") else "",
    ]
    known = ", ".join(part for part in parts if part)
    return escape(f"{machine['id']}: {known}" if machine.get("id") else known)


def remarks(runs: Sequence[StoredRun]) -> Iterator[str]:
    facts = [suite_facts(run) for run in runs]
    deviations = dict.fromkeys(str(d) for f in facts for d in f.get("deviations", []))
    if deviations:
        yield "## Deviations from the source"
        yield "\n".join(f"- {escape(text)}" for text in deviations)


def _repeat(runs: Sequence[StoredRun]) -> str:
    commands = list(dict.fromkeys(command(run) for run in runs))
    block = "\n".join(commands)
    return f"## How to repeat\n\n```sh\n{block}\n```" if commands else ""


def command(run: StoredRun) -> str:
    """The command line that made a run, without the path of the program."""
    argv = [str(part) for part in run.manifest.get("argv", ())]
    if not argv:
        return f"sparsebench run {suite_facts(run).get('name', 'SUITE')}"
    started_by = PurePath(argv[0]).name
    rest = argv[1:] if started_by in ("sparsebench", "__main__.py") else argv
    return " ".join(shlex.join(["sparsebench", *rest]).split()).replace("`", "'")
