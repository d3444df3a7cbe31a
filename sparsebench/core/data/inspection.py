"""Describes a data set before anything is trained on it, and finds features that leak the
target."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsebench.core.data.checks import check_parts, labels_of
from sparsebench.core.data.csr_data import is_dense
from sparsebench.core.data.samples import Parts

NEAR = 0.999
"""A feature is reported if the magnitude of its correlation with the target, or with the number of
the row, is at least this."""


def described(parts: Parts) -> dict[str, Any]:
    """The numbers of samples and features, the targets, the storage, and features that may leak the
    target."""
    parts = check_parts(parts)
    X, y = parts.X_train, labels_of(parts.y_train)
    dense = is_dense(X)
    stored = X.nbytes if dense else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    low, high = (np.ravel(X.min(axis=0)), np.ravel(X.max(axis=0))) if dense else _ends(X)
    constant = np.flatnonzero(low == high)
    values, counts = np.unique(y, return_counts=True) if y.ndim == 1 else (y[:0], y[:0])
    broken = y.dtype.kind == "f" and bool((y != np.floor(y)).any())
    labels = y.ndim == 1 and not broken
    named = [*map(str, range(X.shape[1]))] if parts.features is None else parts.features
    return {
        "samples": int(X.shape[0]),
        "test_samples": None if parts.X_test is None else int(parts.X_test.shape[0]),
        "features": int(X.shape[1]),
        "target": parts.target,
        "understood_as": "labels" if labels else "numbers",
        "classes": len(values) if labels else None,
        "counts": {str(v): int(n) for v, n in zip(values[:50], counts)} if labels else None,
        "missing": parts.missing,
        "constant": [named[i] for i in constant[:50]],
        "constants": int(constant.size),
        "storage": f"{'dense' if dense else 'csr'} {X.dtype}, {stored / 2**20:.1f} MiB",
        "leaks": [f"{named[i]}: {why}" for i, why in _leaks(X, y)] if dense else [],
        "notes": list(parts.notes),
    }


def _ends(X: Any) -> tuple[Any, Any]:
    return X.min(axis=0).toarray().ravel(), X.max(axis=0).toarray().ravel()


def _leaks(X: Any, y: Any) -> list[tuple[int, str]]:
    """Index and reason of each feature that numbers the rows, or that equals the target or nearly
    does (see NEAR). Empty if there are several targets or fewer than 3 rows."""
    if len(X) < 3 or y.ndim != 1:
        return []
    found = []
    codes = np.unique(y, return_inverse=True)[1] if y.dtype.kind in "USb" else y
    codes = codes.astype(np.float64) - codes.mean()
    rows = np.arange(len(X)) - (len(X) - 1) / 2
    for i in range(X.shape[1]):
        x = X[:, i].astype(np.float64)
        x -= x.mean()
        size = float(np.sqrt(x @ x))
        if not np.isfinite(size) or size == 0:
            continue
        for other, why in ((rows, "numbers the rows"), (codes, "is the target, or nearly so")):
            norm = float(np.sqrt(other @ other))
            if norm and abs(float(x @ other)) >= NEAR * size * norm:
                found.append((i, why))
                break
    return found
