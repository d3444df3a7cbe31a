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
    join,
    one,
    result_words,
    sentence_list,
    size,
    table,
    upper_first,
)
from sparsebench.analysis.marks import backend_legend, noise_footnote
from sparsebench.analysis.statistics import LEAST_SEEDS
from sparsebench.errors import printable
from sparsebench.report import claims, crossover_table, ranks, tables
from sparsebench.report.fit_tables import fits
from sparsebench.report.plot_files import write_plots
from sparsebench.report.plugin_sections import plugin_sections
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
    "Backends start from the same connections, weights and batches. Over many steps float32 "
    "rounding changes which connections are dropped, so small differences are expected."
)
NOTE_AUDIT = (
    "Each backend's layers were probed on this machine with the same number of connections, "
    "neurons and samples while K x D, the size of the dense matrix, grows: a truly sparse backend "
    "takes no longer and no more memory. Growth is that of the call that grows most, and 1.0 is "
    "none. Peak over declared: the net peak of the trials over the bytes that their networks "
    "declare, the median and the largest; transients and data are in it."
)
NOTE_INEXACT = (
    "Memory was not measured exactly on every machine: see the column `exact` of the export."
)


def report(
    stored_runs: Sequence[StoredRun], folder: Path, *, prefix: str = "", links: str = ""
) -> str:
    """The markdown of one report over all the runs; its plots are written into `folder`.

    Plot files start with `prefix`; `links` goes before their names in the text.
    """
    found = evidence(stored_runs)
    parts = [f"# {escape(titles(stored_runs))}"]
    sources = dict.fromkeys(str(f["source"]) for f in facts_of(stored_runs) if f.get("source"))
    parts += [f"Source: {escape(source)}" for source in sources]
    parts += [summary(found), backend_legend(found.frame), *found.notes]
    parts += [*where(stored_runs, found), *sections(found)]
    plots = write_plots(found.trained, folder, prefix)
    parts += ["## Plots"] if plots else []
    for plot in plots:
        target = quote(links + plot.path.name, safe="/:~")
        parts += [f"### {plot.title}", f"![{plot.title}]({target})", plot.caption]
    parts += remarks(stored_runs)
    commands = "\n".join(dict.fromkeys(command(run) for run in stored_runs))
    parts += [f"## How to repeat\n\n```sh\n{commands}\n```"] if commands else []
    return "\n\n".join(part for part in parts if part) + "\n"


def facts_of(runs: Sequence[StoredRun]) -> list[Mapping[str, Any]]:
    return [suite_facts(run) for run in runs]


def titles(runs: Sequence[StoredRun]) -> str:
    found = [
        str(facts.get("title") or facts.get("name") or run.id)
        for facts, run in zip(facts_of(runs), runs)
    ]
    return sentence_list(list(dict.fromkeys(found))) or "No runs"


def sections(found: Evidence) -> Iterator[str]:
    """A heading, a table and a note for each question that the trials answer."""
    trained, added = found.trained, plugin_sections(found)
    for section in added:
        if section.place == "before":
            yield from section.markdown()
    for judged in trained.by_primary():
        heading, best = result_words(judged.primary)
        note = (
            f"{upper_first(escape(judged.primary.heading))} after the last epoch: mean ± standard "
            f"deviation over n seeds; the {best} mean of each setting is bold. Only trials that "
            "finished count."
        )
        yield from _section(escape(heading), tables.result_table(judged), note)
        robust = tables.interquartile_table(judged)
        if robust:
            yield from (robust, NOTE_INTERQUARTILE)
    if not trained.ok.empty:
        noise = noise_footnote(trained.ok)
        exactness = "" if trained.ok["exact"].all() else NOTE_INEXACT
        yield from _section("Time", tables.time_table(trained), NOTE_TIME, noise)
        yield from _section("Memory", tables.memory_table(trained), NOTE_MEMORY, exactness)
        predicted = tables.predictions_table(trained)
        yield from _section("Predicted and measured", predicted, NOTE_PREDICTED)
        yield from _section("Connections", tables.connections_table(trained))
        yield from _section("Other metrics", tables.other_table(trained), NOTE_OTHERS)
    for section in added:
        if section.place == "after":
            yield from section.markdown()
    if not trained.ok.empty:
        yield from fits(trained)
        yield from crossover_table.section(trained)
        yield from ranks.section(trained)
    yield from _section("Honesty audit", tables.audit_table(found), NOTE_AUDIT)
    yield from claims.section(found)
    agreement = tables.agreement_table(trained.of_primary)
    yield from _section("Agreement between backends", agreement, NOTE_AGREEMENT)
    yield from _section("Failures", tables.failures_table(found))
    yield from _section("Not run", tables.not_run_table(found))


def _section(title: str, made: str, *notes: str) -> Iterator[str]:
    if made:
        yield from (f"## {title}", made, *notes)


def where(runs: Sequence[StoredRun], found: Evidence) -> Iterator[str]:
    """A table of machines, versions and commands with a column per run."""
    if not runs:
        return
    yield "## What ran where"
    facts = [_provenance(run, found) for run in runs]
    keys = list(dict.fromkeys(k for f in facts for k in f))
    rows = [[key, *(one.get(key, "") for one in facts)] for key in keys]
    yield table(["run", *(escape(run.id) for run in runs)], rows, left=1 + len(runs))


def _provenance(run: StoredRun, found: Evidence) -> dict[str, str]:
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
    facts = {
        "machine": "; ".join(_machine(m) for m in machines.values()),
        "threads": ", ".join(str(n) for n in sorted(part["threads"].unique())),
        "side by side": "yes: times are contended" if part["contended"].any() else "",
        "versions": escape(", ".join(f"{k} {v}" for k, v in versions.items())),
        "started": escape(min((r.started for r in records if r.started), default="")),
        "ended": escape(max((r.ended for r in records if r.ended), default="")),
        "command": code(command(run)),
        "commit": escape(", ".join(commits or [manifest_commit(run.manifest)])),
    }
    return {key: value for key, value in facts.items() if value}


def _machine(machine: Mapping[str, Any]) -> str:
    """`ab12: Intel Xeon, 2 of 4 cores, 7.8 GiB, Linux 6.1`."""
    cores, usable = machine.get("cores"), machine.get("usable_cores")
    memory = machine.get("memory_bytes")
    known = join(
        machine.get("cpu", ""),
        f"{usable} of {cores} cores" if usable and usable != cores else f"{cores} cores",
        size(one(float(memory))) if memory else "",
        f"{machine.get('system', '')} {machine.get('kernel', '')}".strip(),
        f"Python {machine['python']}" if machine.get("python") else "",
    )
    return escape(f"{machine['id']}: {known}" if machine.get("id") else known)


def remarks(runs: Sequence[StoredRun]) -> Iterator[str]:
    """The deviations from the source that the suites declare."""
    deviations = dict.fromkeys(str(d) for f in facts_of(runs) for d in f.get("deviations", []))
    if deviations:
        yield "## Deviations from the source"
        yield "\n".join(f"- {escape(text)}" for text in deviations)


def command(run: StoredRun) -> str:
    """The command line that made a run, without the path of the program."""
    argv = [str(part) for part in run.manifest.get("argv", ())]
    if not argv:
        return f"sparsebench run {suite_facts(run).get('name', 'SUITE')}"
    started_by = PurePath(argv[0]).name
    rest = argv[1:] if started_by in ("sparsebench", "__main__.py") else argv
    return printable(shlex.join(["sparsebench", *rest])).replace("`", "'")
