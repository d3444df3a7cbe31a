"""Footnote marks after names and numbers: simulated sparsity, contradicted claims, disturbed times,
too few cores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from sparsebench.analysis.audit_verdict import only_a_high_peak
from sparsebench.analysis.number_format import plural, sentence_list
from sparsebench.store.record import CONTRADICTED, SIMULATED, Record
from sparsebench.suite.defaults import DEFAULT_NAMES

SIMULATED_MARK, CONTRADICTED_MARK, NOISE_MARK, CROWDED_MARK = "†", "‡", "§", "¶"
STILL_MARK = "∅"

LEGEND = {
    SIMULATED_MARK: f"{SIMULATED_MARK} simulated sparsity: dense storage or dense work.",
    CONTRADICTED_MARK: f"{CONTRADICTED_MARK} declares that it is truly sparse, and was found to "
    "store or to work densely.",
    STILL_MARK: f"{STILL_MARK} the topology was never updated in some or all of these trials: they "
    "have fewer steps than come before its first update, and trained a fixed topology.",
}
"""Mark of a name -> its meaning."""

EVENTS = {
    "load": "other programs ran",
    "steal": "the hypervisor took time",
    "throttled": "the processor was throttled",
    "swap": "memory was swapped",
}
"""The marks of a record's `noise` in words."""


def marked_labels(labels: Sequence[str], records: Iterable[Record]) -> list[str]:
    """Names of backends with marks for their audits' findings, or for their own claims if no audit
    could decide. The finding of one trial marks the name in every row, because it is about the
    backend. Findings on model and topology do not mark the backend; nor does a high peak alone, if
    trials of another topology have none, observers watched or the trainer does more than train
    one network: then it may be the memory of the method, the observers or the trainer."""
    records = list(records)
    methods: dict[str, dict[str, bool]] = {}
    for label, record in zip(labels, records, strict=True):
        high = methods.setdefault(label, {})
        name = str(record.trial.topology.get("name"))
        trial = record.trial
        only_training = not trial.observers and trial.trainer["name"] == DEFAULT_NAMES["trainer"]
        high[name] = high.get(name, True) and only_a_high_peak(record.audit) and only_training
    found: dict[str, set[str]] = {}
    for label, record in zip(labels, records, strict=True):
        audit, known = record.audit, found.setdefault(label, set())
        of_method = audit.get("method_flags") and not audit.get("backend_flags")
        if not of_method and not (only_a_high_peak(audit) and not all(methods[label].values())):
            known.add(str(audit.get("verdict", "")))
        if audit.get("claims") == SIMULATED or record.settings.get("truly_sparse") is False:
            known.add(SIMULATED)
    marks = {
        label: CONTRADICTED_MARK if CONTRADICTED in verdicts
        else SIMULATED_MARK if SIMULATED in verdicts else ""
        for label, verdicts in found.items()
    }  # fmt: skip
    return [f"{label} {marks[label]}".strip() for label in labels]


def marked_topologies(labels: Sequence[str], records: Iterable[Record]) -> list[str]:
    """Names of topologies, with marks after those that an audit found dense, alone or with their
    model, and those that were never updated though they would be in a longer training. A finding
    on a backend that is dense itself does not count, for it may be the backend's."""
    marks: dict[str, set[str]] = {label: set() for label in labels}
    for label, record in zip(labels, records, strict=True):
        if record.audit.get("method_flags") and not record.audit.get("backend_flags"):
            marks[label].add(CONTRADICTED_MARK)
        if record.settings.get("never_updated") is True:
            marks[label].add(STILL_MARK)
    return [" ".join([label, *sorted(marks[label])]) for label in labels]


def backend_legend(frame: pd.DataFrame) -> str:
    """The meaning of the marks after names; empty if no name has a mark."""
    names = " ".join([*frame["backend_label"], *frame["topology_label"]])
    return " ".join(text for mark, text in LEGEND.items() if mark in names)


def noisy(cell: pd.DataFrame) -> str:
    """The marks of a row's times: the number of its disturbed trials, and whether a trial had too
    few cores."""
    disturbed = int(cell["noise"].astype(bool).sum())
    marks = f" {NOISE_MARK} {disturbed}/{len(cell)}" if disturbed else ""
    return marks + (f" {CROWDED_MARK}" if cell["oversubscribed"].astype(bool).any() else "")


def noise_footnote(frame: pd.DataFrame) -> list[str]:
    """Notes on how many of these trials were disturbed and by what, on how many had too few cores,
    and on whether steps of one backend were made in two ways. Nothing is said of what did not
    occur."""
    trials, notes = plural(len(frame), "trial"), []
    disturbed = [words.split() for words in frame["noise"] if words]
    if disturbed:
        counts = Counter(word for words in disturbed for word in dict.fromkeys(words))
        kinds = [f"{EVENTS.get(word, word)} in {n}" for word, n in counts.most_common()]
        notes.append(
            f"{NOISE_MARK} {len(disturbed)} of {trials} ran while the machine was disturbed "
            f"({sentence_list(kinds)}): all times of a row marked so, with how many of its trials, "
            "may be too long."
        )
    crowded = int(frame["oversubscribed"].astype(bool).sum())
    if crowded:
        notes.append(
            f"{CROWDED_MARK} {crowded} of {trials} had more threads, of all their processes "
            "together, than cores: their threads took turns."
        )
    return [*notes, *_ways(frame[frame["step"] != ""])]


def _ways(frame: pd.DataFrame) -> Iterator[str]:
    """Yield notes if some steps were compiled calls and others went layer by layer: which backends
    did which, and for a backend with both, how many trials."""
    backends: dict[str, list[str]] = {"compiled": [], "layers": []}
    for backend, trials in frame.groupby("backend", sort=False)["step"]:
        ways = trials.value_counts()
        if len(ways) > 1:
            compiled = plural(int(ways["compiled"]), "trial")
            yield (
                f"{backend}: a step was one compiled call in {compiled} and went layer by layer in "
                f"{ways['layers']}; compare times of one kind only."
            )
        else:
            backends[str(ways.index[0])].append(str(backend))
    if all(backends.values()):
        yield (
            f"A step of {sentence_list(backends['compiled'])} was one compiled call, which "
            "assembles the batch too, so that its time counts as training; one of "
            f"{sentence_list(backends['layers'])} went layer by layer."
        )
