"""Marks behind names and numbers: what is simulated, what contradicts its claim, what was
disturbed, what had too few cores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from sparsebench.analysis.formats import escape, plural, sentence_list
from sparsebench.store.record import CONTRADICTED, SIMULATED, Record

SIMULATED_MARK, CONTRADICTED_MARK, NOISE_MARK, CROWDED_MARK = "†", "‡", "§", "¶"

EVENTS = {
    "load": "other programs ran",
    "steal": "the hypervisor took time",
    "throttled": "the processor was throttled",
    "swap": "memory was swapped",
}
"""The words of a record's `noise`, as a reader knows them."""


def marked_labels(labels: Sequence[str], records: Iterable[Record]) -> list[str]:
    """Names of backends with what their audits found: one trial's finding marks the name in
    every row, because it is about the backend."""
    found: dict[str, set[str]] = {}
    for label, record in zip(labels, records, strict=True):
        found.setdefault(label, set()).add(str(record.audit.get("verdict", "")))
    marks = {label: _mark(verdicts) for label, verdicts in found.items()}
    return [f"{label} {marks[label]}" if marks[label] else label for label in labels]


def _mark(verdicts: set[str]) -> str:
    if CONTRADICTED in verdicts:
        return CONTRADICTED_MARK
    return SIMULATED_MARK if SIMULATED in verdicts else ""


def backend_legend(frame: pd.DataFrame) -> str:
    """What the marks behind names mean; empty if no name has one."""
    found = set(frame["audit"])
    parts = []
    if SIMULATED in found:
        parts.append(
            f"{SIMULATED_MARK} simulated sparsity: dense storage or dense work, as if nothing "
            "were sparse."
        )
    if CONTRADICTED in found:
        parts.append(
            f"{CONTRADICTED_MARK} says that it is truly sparse, and was found to store or to work "
            "densely."
        )
    return " ".join([*parts, "See the honesty audit."]) if parts else ""


def contradictions(frame: pd.DataFrame) -> str:
    """The sentence that comes first if a claim does not hold; empty if all do."""
    wrong = frame[frame["audit"] == CONTRADICTED]
    if wrong.empty:
        return ""
    names = [f"**{escape(name)}**" for name in dict.fromkeys(wrong["backend_label"])]
    verb, pronoun = ("says", "its") if len(names) == 1 else ("say", "their")
    return (
        f"{sentence_list(names)} {verb} that {pronoun} layers are truly sparse, and the audit "
        f"contradicts it in {plural(len(wrong), 'trial')}: read {pronoun} times and bytes as those "
        "of simulated sparsity."
    )


def noisy(cell: pd.DataFrame) -> str:
    """The marks of a row's times: one of its trials was disturbed, or had too few cores."""
    marks = NOISE_MARK if cell["noise"].astype(bool).any() else ""
    marks += CROWDED_MARK if cell["oversubscribed"].astype(bool).any() else ""
    return f" {marks}" if marks else ""


def noise_footnote(frame: pd.DataFrame) -> str:
    """How many of these trials were disturbed, and by what, and how many had too few cores; empty
    if none."""
    return "\n\n".join(filter(None, [_disturbed(frame), _oversubscribed(frame)]))


def _oversubscribed(frame: pd.DataFrame) -> str:
    crowded = frame[frame["oversubscribed"].astype(bool)]
    if crowded.empty:
        return ""
    return (
        f"{CROWDED_MARK} {len(crowded)} of {plural(len(frame), 'trial')} had more threads, of all "
        "their processes together, than cores: they took turns, and the times of a marked row are "
        "not those of so many workers with a core each. The column `oversubscribed` of the export "
        "names the trials."
    )


def _disturbed(frame: pd.DataFrame) -> str:
    disturbed = [words.split() for words in frame["noise"] if words]
    if not disturbed:
        return ""
    counts = Counter(word for words in disturbed for word in dict.fromkeys(words))
    told = [f"{escape(EVENTS.get(word, word))} in {n}" for word, n in counts.most_common()]
    return (
        f"{NOISE_MARK} {len(disturbed)} of {plural(len(frame), 'trial')} ran while the machine was "
        f"disturbed ({sentence_list(told)}): all times of a marked row may be too long. The column "
        "`noise` of the export names the trials."
    )
