"""Adds features that are known to be noise: copies of others, permuted over the samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.csr_data import is_dense
from sparsebench.core.data.samples import Parts
from sparsebench.seeds import generator


def with_permuted_copies(parts: Parts, count: int) -> Parts:
    """The data with `count` features added after its own. They are copies of randomly drawn
    features (each at most once if there are enough), permuted within the train part and within the
    test part. The copies do not depend on the trial's seed. Csr stays csr, and takes time and
    memory in proportion to the number of stored values."""
    rng = generator(0, "noise")
    features = parts.X_train.shape[1]
    chosen = np.sort(rng.choice(features, count, replace=count > features))
    X_test = parts.X_test
    if X_test is not None:
        X_test = _appended(X_test, chosen, rng)
    names = parts.features
    if names is not None:
        names = [*names, *(f"{names[i]}, permuted" for i in chosen)]
    X_train = _appended(parts.X_train, chosen, rng)
    return replace(parts, X_train=X_train, X_test=X_test, features=names, noise=count, image=None)


def _appended(X: Any, chosen: Array, rng: np.random.Generator) -> Any:
    if is_dense(X):
        return np.hstack([X, rng.permuted(X[:, chosen], axis=0)])
    from scipy.sparse import csc_matrix, hstack

    copies = X[:, chosen].tocsc()
    samples, counts = X.shape[0], np.diff(copies.indptr)
    rows = [rng.choice(samples, count, replace=False) for count in counts.tolist()]
    permuted = csc_matrix(
        (copies.data, np.concatenate(rows), copies.indptr), shape=copies.shape
    ).tocsr()  # which puts the features of a sample in order
    return hstack([X, permuted], format="csr", dtype=X.dtype)
