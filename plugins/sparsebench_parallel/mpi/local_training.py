"""Phase two at a worker: train a copy of the network locally and send it to the master."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sparsebench.core.archive import Below
from sparsebench.core.arrays import Array, Rows, Vector
from sparsebench.core.methods.update import Counts
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Batches
from sparsebench.core.training.work import Work
from sparsebench_parallel.mpi import epoch_rows
from sparsebench_parallel.mpi.data_parts import seed_of, stream_of
from sparsebench_parallel.mpi.flat_values import FlatValues
from sparsebench_parallel.mpi.messages import MASTER, receive_parcel, send_parcel
from sparsebench_parallel.mpi.plan import Plan
from sparsebench_parallel.mpi.topology_diff import Encoded, change_between, encode
from sparsebench_parallel.mpi.worker import apply_changes
from sparsebench_parallel.params import SHARE_ALONE


class Start:
    """The state that a worker receives from the master.

    patterns  connections of each layer       values  as of `Network.values`
    state     as of `Network.saved`, empty where phase two starts afresh
    """

    def __init__(self, old: Network, arrays: Mapping[str, Array]) -> None:
        """old  the network of phase one; its connections become those of the start, and then it
        is no longer needed"""
        apply_changes(old, Encoded(arrays["table"], arrays["positions"]))
        self.patterns: list[CsrPattern] = [layer.weights().pattern for layer in old.layers]
        self.values: list[Vector] = FlatValues(old).views(arrays["values"])
        self.state = dict(Below(arrays, "state"))
        self.removed = dict(Below(arrays, "removed"))

    def network(self, work: Work, seed: int) -> Network:
        """A new network with this state and nothing else of phase one."""
        layers = []
        for number, pattern in enumerate(self.patterns):
            data, bias = (np.array(v) for v in self.values[2 * number : 2 * number + 2])
            layers.append(work.backend.layer(CsrMatrix(pattern, data), bias, work.optimizer))
        network = work.network(layers, seed)
        self._fill(network)
        return network

    def forget_values(self) -> None:
        """Free the values; used if training is never undone."""
        self.values, self.state = [], {}

    def put_back(self, network: Network) -> None:
        """Reset the network to the received state."""
        for layer, pattern in zip(network.layers, self.patterns, strict=True):
            change = change_between(layer.weights().pattern, pattern)
            if change.dropped or change.grown:
                layer.apply_change(change)
        self._fill(network)

    def _fill(self, network: Network) -> None:
        network.assign(self.values)
        if self.state:
            network.restore({name: np.array(array) for name, array in self.state.items()})


class Undone(Batches):
    """Batches whose effect is undone after every so many, as the released code does: there a
    worker takes the master's weights again, which stand still. The master's are kept here
    instead, so that these bytes do not travel."""

    def __init__(
        self, work: Work, network: Network, stream: tuple[int, ...], start: Start, every: int
    ) -> None:
        super().__init__(work, network, stream)
        self._start, self._every, self._done = start, every, 0

    def take(self, turn: Rows, rate: float, t: int) -> tuple[float, int]:
        found = super().take(turn, rate, t)
        self._done += 1
        if self._done % self._every == 0:
            with self.timers("train"):
                self._start.put_back(self._network)
        return found


def received(comm: Any, old: Network) -> Start:
    """What the master hands out."""
    return Start(old, receive_parcel(comm, MASTER)[1])


def train_alone(plan: Plan, part: Work, start: Start, worker: int) -> None:
    """Phase two, from what the master sent to what it gets back."""
    assert part.team is not None
    comm = part.team.comm
    network = start.network(part, seed_of(part.seed, worker))
    if not plan.options.overwritten:
        start.forget_values()
    training = _training(plan, part, network, start, worker)
    training.run(plan.together + 1, plan.work.epochs, tested=False)
    send_parcel(comm, MASTER, *_handed_in(training, start))


def _training(plan: Plan, part: Work, network: Network, start: Start, worker: int) -> Training:
    """Steps count on as if the worker had been alone from the beginning."""
    options, stream = plan.options, stream_of(worker)
    steps = Batches(part, network, stream)
    if options.overwritten:
        every = max(1, int(SHARE_ALONE * (plan.work.epochs - options.extra_pass)))
        steps = Undone(part, network, stream, start, every)
    times = options.workers if options.scaling and options.local_scaling else 1
    work = part if worker else replace(part, progress=plan.shown(steps.per_epoch))
    training = Training(
        work, network, steps,
        seed=seed_of(part.seed, worker),
        scaled=lambda rate, t: rate * times,
    )  # fmt: skip
    training.step = plan.together * steps.per_epoch
    training.updater.restore(start.removed, Counts.zero(len(network.layers)))
    return training


def _handed_in(training: Training, start: Start) -> tuple[dict[str, Any], list[tuple[str, Array]]]:
    """Records of the epochs, and the model as it differs from the start."""
    network = training.network
    changed = encode(start.patterns, [layer.weights().pattern for layer in network.layers])
    flat = FlatValues(network)
    values = np.empty(flat.size, dtype=np.float32)
    flat.fill(values, network.values())
    return {"diverged": training.diverged}, [
        ("table", changed.table),
        ("positions", changed.positions),
        ("values", values),
        ("epochs", epoch_rows.rows(training.records)),
    ]
