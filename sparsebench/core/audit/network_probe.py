"""Networks to probe whether a backend is truly sparse: the trial's model and topology with layers
of other sizes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

import numpy as np

from sparsebench.core.audit.probe import RATE
from sparsebench.core.audit.probe_sizes import Shape, Sizes
from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.methods.update import TopologyUpdater
from sparsebench.core.protocols import LayerSignals, Observable
from sparsebench.core.sizes import SizedObjective
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported

BUILD, UPDATE = "network", "topology update"
STEP = TrainingStep(epoch=1, epochs=3, step=3, steps_per_epoch=3, epoch_ended=True)


class NetworkSubject:
    """A network whose first layer has a given shape, with the calls to probe: draw the initial
    connections, build the network, make steps, evaluate, update the topology.

    Each repeat of the calls begins with a new network.
    """

    def __init__(self, work: Work, shape: Shape, sizes: Sizes) -> None:
        K, D = shape
        self.shape = shape
        scans = work.topology.needs.scans
        self.untimed = frozenset({BUILD, UPDATE} if scans else {BUILD})  # building: page faults
        self._work = replace(work, model=_with_hidden(work.model, K))
        self._shapes = self._work.model.shapes(D, _outputs(work, D))
        self._nnz = sizes.nnz
        rng = np.random.default_rng(0)
        self._X = rng.standard_normal((D, sizes.batch), dtype=np.float32)
        outputs = self._shapes[-1][0]
        self._T: Any = np.ones((outputs, sizes.batch), dtype=np.float32)
        if self._work.loss.targets == "labels":
            self._T = np.arange(sizes.batch, dtype=np.int64) % outputs
        self._steps = itertools.count(1)
        self._drawn: list[CsrMatrix] = []
        self._network: Any = None
        self._updater: Any = None

    def calls(self) -> dict[str, Callable[[], object]]:
        def train() -> None:
            self._network.train_step(self._X, self._T, RATE, next(self._steps))

        def evaluate() -> None:
            self._network.outputs(self._X)

        return {
            "initial connections": self._draw,
            BUILD: self._build,
            "training step": train,
            "evaluation": evaluate,
            UPDATE: self._update,
            "step after the update": train,
        }

    def prepare(self, call: str) -> None:
        if call == "initial connections":
            self._drawn, self._network, self._updater = [], None, None

    def stored_bytes(self) -> int:
        return sum(self._network.stored_bytes().values())

    def _draw(self) -> None:
        work, rng = self._work, np.random.default_rng(0)
        work.topology.connections(self._shapes)
        for K, D in self._shapes:
            pattern = random_pattern((K, D), min(self._nnz, K * D), rng)
            values = work.model.initializer.draw(pattern, pattern.nnz, rng)
            self._drawn.append(CsrMatrix(pattern, values))

    def _build(self) -> None:
        work = self._work
        layers = [
            work.backend.layer(W, np.zeros(W.shape[0], dtype=np.float32), work.optimizer)
            for W in self._drawn
        ]
        self._drawn = []
        self._network = work.network(layers)
        self._updater = TopologyUpdater(
            self._network, work.topology, work.pruning, work.model.initializer, work.optimizer,
            work.seed, lambda index, change: None,
        )  # fmt: skip
        self._updater.watch(lambda t: STEP)

    def _update(self) -> None:
        def observe() -> list[LayerSignals]:
            network = self._network
            assert isinstance(network, Observable)
            return network.observe(self._X, self._T, next(self._steps))[1]

        self._updater.rehearse(STEP, observe)


def _outputs(work: Work, features: int) -> int:
    objective = work.objective
    return objective.outputs(features, 2) if isinstance(objective, SizedObjective) else 2


def _with_hidden(model: Any, K: int) -> Any:
    """The model with one hidden layer of K neurons. Raises Unsupported if it has no parameter
    `hidden`."""
    if is_dataclass(model) and "hidden" in {field.name for field in fields(model)}:
        return replace(cast("Any", model), hidden=(K,))
    raise Unsupported("the model has no `hidden`, so its sizes cannot be varied")
