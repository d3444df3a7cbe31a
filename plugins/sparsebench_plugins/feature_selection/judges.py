"""Judges selected features by the accuracy of classifiers (the judges) that are trained on these
features only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array, Labels, Matrix
from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.data.prepare import Examples
from sparsebench.core.data.samples import Inputs
from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported

BLOCK = 1 << 22
"""The most values of inputs that are in memory at once."""

Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]


def judged(work: Work, chosen: Ints, judges: Sequence[str]) -> dict[str, float | None]:
    """The measures of the features `chosen` (indices): the accuracy and balanced error of each
    judge on them, and the share of them that is noise which the data set added as such."""
    began = time.perf_counter()
    noise = work.data.noise
    known = chosen >= work.data.features - noise
    measures: dict[str, float | None] = {
        "selected_features": chosen.size,
        "selected_noise": float(known.mean()) if noise else None,
    }
    data = work.data
    with work.meter.phase("judge"):
        train, test = columns(data.train, chosen), columns(data.test, chosen)
        y, y_test = classes_of(data.train), classes_of(data.test)
        for name in judges:
            X, X_test = train, test
            if name == "svm-unscaled":
                X, X_test = (unscaled(data.inputs, part, chosen) for part in (train, test))
            found = judge(name, work.seed).fit(X, y).predict(X_test)
            measures |= scores(name.replace("-", "_"), found, y_test)
    measures["judging_seconds"] = time.perf_counter() - began
    return measures


def judge(name: str, seed: int) -> Any:
    if name.startswith("svm"):
        from sklearn.svm import SVC

        return SVC()
    if name == "knn":
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(n_neighbors=1)
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(n_estimators=50, random_state=seed)


def warm_up_judges(judges: Sequence[str]) -> None:
    """Import the judges' libraries and start their threads, on a few artificial samples."""
    y = np.arange(40) % 2
    X = np.random.default_rng(0).random((40, 3), dtype=np.float32)
    for name in judges:
        judge(name, 0).fit(X, y).predict(X)


def scores(name: str, found: Array, labels: Labels) -> dict[str, float | None]:
    """The accuracy, and the balanced error: the share of a class that is not found, averaged over
    classes."""
    missed = [float((found[labels == label] != label).mean()) for label in np.unique(labels)]
    return {
        f"{name}_accuracy": float((found == labels).mean()),
        f"{name}_balanced_error": float(np.mean(missed)),
    }


def classes_of(examples: Examples) -> Labels:
    """The class of each sample, even if the network was trained to reconstruct its inputs. Raises
    Unsupported if the data has no classes."""
    given: Array = examples.samples.targets
    y = given if examples.rows is None else given[examples.rows]
    if y.ndim != 1 or (y.dtype.kind == "f" and not np.array_equal(y, np.floor(y))):
        raise Unsupported("a selection is judged by classifiers, and the data has no classes")
    return y


def unscaled(inputs: Inputs, X: Matrix, chosen: Ints) -> Matrix:
    """(samples, chosen) the scaled inputs X of these features, in the data's own units."""
    if inputs.mean is None or inputs.scale is None:
        return X
    own = Inputs(chosen.size, inputs.mean[chosen], inputs.scale[chosen])
    return np.ascontiguousarray(own.unscaled(X.T).T)


def columns(examples: Examples, chosen: Ints) -> Matrix:
    """(samples, chosen) the scaled inputs of these features, without noise on them."""
    clean = replace(examples, corruption=None)
    out = np.empty((len(clean), chosen.size), dtype=np.float32)
    size = max(1, BLOCK // clean.features)
    for start in range(0, len(clean), size):
        rows = np.arange(start, min(start + size, len(clean)))
        X, _ = clean.batch(rows)
        out[rows] = X.matrix()[:, chosen].toarray() if isinstance(X, CsrBatch) else X[chosen].T
    return out
