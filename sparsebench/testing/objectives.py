"""Check of objectives: their targets, losses and scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsebench.core.data.samples import Inputs, TargetData
from sparsebench.core.metric import columns
from sparsebench.core.protocols import CorruptsInputs, Objective
from sparsebench.errors import DataError
from sparsebench.testing.fixtures import check_parameters

FEATURES, SAMPLES = 6, 40


def check_objective(objective: Objective) -> None:
    """Check that an objective accepts at least one kind of target and refuses others with a
    one-line message; that loss, targets and scores fit together; that scores do not depend on how
    samples are divided into batches; that targets restored from their arrays predict the same; and
    that a corruption depends on the sample, not on its place in the batch, and does not change
    X."""
    check_parameters(objective)
    names = [score.name for score in objective.scores]
    assert names, "scores nothing"
    assert len(set(names)) == len(names), f"scores of one name: {names}"
    assert objective.scores[0].better != 0, f"neither more nor less of {names[0]} is better"
    assert tuple(objective.metrics) == columns(objective.scores), "metrics are not columns(scores)"
    numbers = np.random.default_rng(0).standard_normal((SAMPLES, 3))
    labels = np.arange(SAMPLES) % 3
    kinds = [labels, labels.astype(str), numbers[:, 0], numbers, (numbers > 0).astype(int)]
    accepted = [y for y in kinds if _accepts(objective, y)]
    assert accepted, "accepts neither labels nor numbers, one or several per sample"
    for y in accepted:
        _check_targets(objective, y, names)
    if isinstance(objective, CorruptsInputs):
        _check_corruption(objective)


def _accepts(objective: Objective, y: Any) -> bool:
    try:
        objective.check(y, None, "y")
    except DataError as error:
        text = str(error)
        assert text.startswith("y"), f"check() does not start with the place: {text}"
        assert "\n" not in text, f"check() says more than a line: {text}"
        return False
    return True


def _check_targets(objective: Objective, y: Any, names: list[str]) -> None:
    inputs = Inputs(FEATURES, np.full((FEATURES, 1), 0.5), np.full((FEATURES, 1), 2.0))
    targets = objective.fit(TargetData(y, np.arange(SAMPLES - 10), inputs))
    again = objective.restored(targets.arrays(), targets.outputs, inputs)
    rng = np.random.default_rng(1)
    Z = rng.standard_normal((targets.outputs, SAMPLES)).astype(np.float32)
    first, second = targets.predict(Z), again.predict(Z)
    assert len(first) == SAMPLES, f"predict() gives {first.shape}, not a row per sample"
    assert np.array_equal(first, second), "restored() predicts otherwise"
    encoded = targets.encode(y, "y")
    T = Z[:, ::-1] if encoded is None else encoded.T
    if encoded is not None:
        assert len(encoded) == SAMPLES, "encode() does not give a row per sample"
        assert T.shape in ((SAMPLES,), Z.shape), f"targets {encoded.shape} for {len(Z)} outputs"
    loss = objective.loss_with(None).value(Z.copy(), T)
    assert np.isfinite(loss), "the loss of these targets is not finite"
    kept = Z.copy()
    whole, parts = targets.score(), targets.score()
    whole.add(Z, T)
    for start in range(0, SAMPLES, 7):
        parts.add(Z[:, start : start + 7], T[..., start : start + 7])
    assert np.array_equal(Z, kept), "add() writes into the outputs"
    assert sorted(whole.values()) == sorted(names), f"scores {sorted(whole.values())}"
    for name, value in whole.values().items():
        assert np.isclose(value, parts.values()[name]), f"{name} depends on the batches"


def _check_corruption(objective: CorruptsInputs) -> None:
    X = np.random.default_rng(2).standard_normal((FEATURES, 5)).astype(np.float32)
    kept, rows = X.copy(), np.array([3, 8, 1, 0, 9])
    first, again = objective.corruption(seed=1), objective.corruption(seed=1)
    if first is None or again is None:
        return
    changed = first.corrupted(X, rows, 1)
    assert np.array_equal(X, kept), "corrupted() writes into the inputs"
    assert changed.shape == X.shape, f"corrupted() gives {changed.shape} for {X.shape}"
    assert changed.dtype == np.float32, f"corrupted() gives {changed.dtype}"
    assert changed.flags.c_contiguous, "corrupted() is not contiguous"
    back = again.corrupted(np.ascontiguousarray(X[:, ::-1]), rows[::-1], 1)
    assert np.array_equal(back[:, ::-1], changed), "the change depends on the order of samples"
