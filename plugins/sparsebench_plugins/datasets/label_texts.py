"""Converts targets that are text to labels, or to numbers if no information is lost."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import TargetKind

INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
QUOTED = re.compile(r"(['\"]).*\1")


def stripped(texts: Sequence[str]) -> list[str]:
    """The texts without surrounding spaces; also without their quotes, if all of them have quotes,
    as Weka writes them."""
    found = [text.strip() for text in texts]
    if found and all(len(text) > 1 and QUOTED.fullmatch(text) for text in found):
        return [text[1:-1] for text in found]
    return found


def targets_of(texts: Sequence[str], decimal: str = ".") -> tuple[Array, list[str]]:
    """The targets as an array, and notes on how the texts were read.

    Texts that are all numbers become numbers. But if all of these are whole, the texts stay labels
    if two different ones would become the same number (`1e5` and `100000`) or if a leading zero
    would be lost (`01`). All other texts stay labels."""
    known = sorted(set(texts))
    spelt = {text: text.replace(decimal, ".") for text in known}
    notes = [
        f"labels {one!r} and {other!r} differ in case only and are two classes"
        for one, other in _alike(known)
    ]
    if all(INTEGER.fullmatch(text) for text in known):
        whole = {text: int(text) for text in known}
        if len(set(whole.values())) == len(known):
            return np.array([whole[text] for text in texts], dtype=np.int64), notes
    elif all(NUMBER.fullmatch(spelt[text]) for text in known):
        values = {text: float(spelt[text]) for text in known}
        broken = any(value != int(value) for value in values.values() if np.isfinite(value))
        padded = any(re.match(r"[+-]?0\d", text) for text in known)
        if broken or (len(set(values.values())) == len(known) and not padded):
            return np.array([values[text] for text in texts]), notes
    if sum(map(bool, map(NUMBER.fullmatch, known))) not in (0, len(known)):
        odd = next(text for text in known if not NUMBER.fullmatch(text))
        notes.append(f"{odd!r} beside numbers in the target: all of them are labels as written")
    return np.array(texts, dtype=str), notes


def _alike(known: Sequence[str]) -> list[tuple[str, str]]:
    if len(known) > 1000:
        return []
    seen: dict[str, str] = {}
    pairs = []
    for text in known:
        other = seen.setdefault(text.casefold(), text)
        if other != text:
            pairs.append((other, text))
    return pairs


def number_note(name: str, y: Array, kind: TargetKind | None = None) -> list[str]:
    """A list with a note if the target has numbers that are not whole, or so many different whole
    numbers that they may not be classes. Empty otherwise, or if `kind` is known."""
    if kind is not None or y.ndim != 1 or y.dtype.kind not in "iuf" or y.size < 10:
        return []
    values = np.unique(y)
    if y.dtype.kind == "f" and (values != np.floor(values)).any():
        return [f'target {name} holds numbers: objective = "regression" learns them']
    if values.size > 20 and values.size > y.size / 10:
        return [
            f"target {name} has {values.size} different whole numbers in {y.size} samples: "
            'numbers, or an id, rather than classes? objective = "regression" learns numbers'
        ]
    return []
