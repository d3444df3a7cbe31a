"""Fits an estimator of scikit-learn to a trial's data, and scores it like a network."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np

from sparsebench.core.arrays import Array, Matrix
from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.data.prepare import Examples
from sparsebench.core.training.summary import scores
from sparsebench.core.training.work import EpochRecord, Result, Work
from sparsebench.errors import Unsupported

LEAST = -100.0
"""The logarithm of a probability that counts as 0."""


class Reference(Protocol):
    def estimator(self, *, labels: bool, seed: int) -> Any:
        """Make an estimator. Raises Unsupported if it does not support this kind of target.

        labels  whether the targets are labels; if not, they are numbers
        """


def warm_up(reference: Reference, work: Work) -> None:
    """Import the estimator's libraries and start their threads, on a few artificial samples."""
    y = np.arange(40) % 2
    X = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32) + y[:, None]
    labels = work.loss.targets == "labels"
    estimator = reference.estimator(labels=labels, seed=0)
    outputs(estimator.fit(X, y), X, 2 if labels else 1)


def fit(reference: Reference, work: Work) -> Result:
    """Fit the estimator to all training samples at once. The scaled copy of the samples counts as
    memory of the trial, like the batches of a network."""
    data = work.data
    targets = data.train.targets
    if targets is None or (targets.ndim == 2 and targets.shape[1] > 1):
        raise Unsupported("this estimator needs a label or a number per sample")
    estimator = reference.estimator(labels=targets.ndim == 1, seed=work.seed)
    started_at = time.perf_counter()
    with work.meter.phase("build"):
        X = inputs(data.train)
    made = time.perf_counter()
    with work.meter.phase("train"):
        try:
            estimator.fit(X, targets.reshape(-1))
        except TypeError as error:  # what it says of csr
            raise Unsupported(" ".join(str(error).split())) from None
    fitted = time.perf_counter()
    with work.meter.phase("eval"):
        train_loss = _score(estimator, data.train, work, X)[0]
        test_loss, found = _score(estimator, data.test, work)
        held_out = {} if data.validation is None else _score(estimator, data.validation, work)[1]
    epoch = EpochRecord(
        epoch=1, train_loss=train_loss, test_loss=test_loss, learning_rate=0.0,
        connections=[], dropped=[], grown=[], pruned=[],
        data_seconds=made - started_at, train_seconds=fitted - made, topology_seconds=0.0,
        eval_seconds=time.perf_counter() - fitted, rss_bytes=work.meter.rss(),
    ).with_metrics(
        {f"test_{name}": value for name, value in found.items()}
        | {f"validation_{name}": value for name, value in held_out.items()}
    )  # fmt: skip
    work.report(epoch)
    measures: dict[str, float | int | None] = {
        **scores(work.objective.scores, [epoch]),
        "train_loss": train_loss,
        "test_loss": test_loss,
        "data_seconds": epoch.data_seconds,
        "train_seconds": epoch.train_seconds,
        "topology_seconds": 0.0,
        "eval_seconds": epoch.eval_seconds,
        "train_samples": len(data.train),
        "bytes_sent": 0,
        **epoch.numbers(),
    }
    return Result(
        measures=measures,
        layers=[],
        network=None,  # type: ignore[arg-type]
        epochs=[epoch],
        computed_by="scikit-learn",
    )


def inputs(examples: Examples) -> Any:
    """(samples, features) the scaled inputs of all samples, as float32, or as scipy's csr if the
    data are csr."""
    batch, _ = examples.batch(np.arange(len(examples)))
    if isinstance(batch, CsrBatch):
        return batch.matrix()
    return np.ascontiguousarray(batch.T)


def outputs(estimator: Any, X: Any, count: int) -> Matrix:
    """(count, samples) the log-probabilities of all classes, even of those that were not in
    training; or (1, samples) the predicted numbers if the estimator predicts no probabilities."""
    if not hasattr(estimator, "predict_proba"):
        predicted: Matrix = estimator.predict(X).astype(np.float32).reshape(1, -1)
        return predicted
    Z = np.full((count, X.shape[0]), LEAST, dtype=np.float32)
    with np.errstate(divide="ignore"):
        Z[estimator.classes_] = np.log(estimator.predict_proba(X)).T.clip(min=LEAST)
    return Z


def _score(
    estimator: Any, examples: Examples, work: Work, X: Any = None
) -> tuple[float, dict[str, float]]:
    """The mean loss, and the objective's scores."""
    Z = outputs(estimator, inputs(examples) if X is None else X, work.data.outputs)
    assert examples.targets is not None
    T: Array = examples.targets if examples.targets.ndim == 1 else examples.targets.T
    score = work.data.targets.score()
    score.add(Z, T)
    return float(work.loss.value(Z.copy(), T)), score.values()
