"""Phase two at the master: send the network to the workers and average what they return."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.sparse.csr import AppliedChange, CsrMatrix, CsrPattern
from sparsebench.core.training.loop import Training
from sparsebench_parallel.mpi.epoch_rows import SECONDS, Rows, merged
from sparsebench_parallel.mpi.flat_values import Vector
from sparsebench_parallel.mpi.master import Master
from sparsebench_parallel.mpi.messages import Kind, receive_parcel, send_parcel
from sparsebench_parallel.mpi.plan import Plan
from sparsebench_parallel.mpi.polling import PATIENT
from sparsebench_parallel.mpi.topology_diff import (
    Encoded,
    change_between,
    decode,
    encode,
)
from sparsebench_parallel.mpi.union_mean import UnionMean, pruned_to

Array = npt.NDArray[Any]


def phase_two(plan: Plan, master: Master, training: Training, comm: Any) -> None:
    """Train apart and average; the epochs are reported when all are known."""
    figures, start = master.figures, time.perf_counter()
    with plan.work.meter.phase("train"):
        _hand_out(plan, master, training, comm)
        diverged, epochs, models = _gathered(master, comm)
        if not diverged:
            figures.union_connections = models.adopt(training, plan.options.target)
    figures.phase_two_seconds = time.perf_counter() - start
    _close(plan, training, epochs, figures.phase_two_seconds)


def _hand_out(plan: Plan, master: Master, training: Training, comm: Any) -> None:
    """Send the network and the state needed to continue training it."""
    network = master.network
    master.close(Kind.ALONE, training.step)
    master.refresh()
    values = np.empty(master.flat.size, dtype=np.float32)
    master.flat.fill(values, network.values())
    common = [("values", values)]
    common += [(f"removed.{name}", array) for name, array in training.updater.saved()]
    if plan.options.state == "master":
        common += [(f"state.{name}", np.asarray(array)) for name, array in network.saved()]
    for link in master.links:
        changed = encode(link.patterns, master.patterns)
        master.figures.topology_bytes += changed.nbytes
        topology = [("table", changed.table), ("positions", changed.positions)]
        master.figures.bytes += send_parcel(comm, link.rank, {}, [*topology, *common])


def _gathered(master: Master, comm: Any) -> tuple[bool, list[Rows], Models]:
    """Whether a loss was not finite; of each worker its epochs; and the sum of the models. One
    worker after the other, so that one model is held at a time."""
    diverged, epochs, models = False, [], Models(master.patterns)
    for link in master.links:
        facts, arrays, received = receive_parcel(comm, link.rank, PATIENT)
        changed = Encoded(arrays["table"], arrays["positions"])
        master.figures.bytes += received
        master.figures.topology_bytes += changed.nbytes
        diverged = diverged or bool(facts["diverged"])
        epochs.append(arrays["epochs"])
        models.add(changed, arrays["values"])
    return diverged, epochs, models


class Models:
    """The sum of models: of their weights on the union of connections, of all else in place."""

    def __init__(self, patterns: Sequence[CsrPattern]) -> None:
        """patterns  that the models started from"""
        self._patterns = patterns
        self._unions = [UnionMean(pattern.shape) for pattern in patterns]
        self._others: npt.NDArray[np.float64] | None = None
        self._count = 0

    def add(self, changed: Encoded, values: Vector) -> None:
        """values  of a model, as of `Network.values`, behind each other"""
        others, at = [], 0
        changes = decode(changed, self._patterns)
        for old, change, union in zip(self._patterns, changes, self._unions, strict=True):
            pattern = old if change is None else AppliedChange(old, change).pattern
            union.add(CsrMatrix(pattern, values[at : at + pattern.nnz]))
            at += pattern.nnz
            others.append(values[at : at + pattern.shape[0]])
            at += pattern.shape[0]
        rest = np.concatenate([*others, values[at:]]).astype(np.float64)
        self._others = rest if self._others is None else self._others + rest
        self._count += 1

    def adopt(self, training: Training, target: str) -> int:
        """Make the average the network's model; connections of the union.

        target  connections of a layer: the mean of the `workers`', or what the `master` has
        """
        assert self._others is not None
        others = (self._others / self._count).astype(np.float32)
        network, values, at, total = training.network, [], 0, 0
        for layer, union in zip(network.layers, self._unions, strict=True):
            mean = union.mean()
            total += mean.nnz
            W = pruned_to(mean, union.mean_connections if target == "workers" else layer.nnz)
            change = change_between(layer.weights().pattern, W.pattern)
            if change.dropped or change.grown:
                layer.apply_change(change)
            values += [W.data, others[at : at + W.shape[0]]]
            at += W.shape[0]
        for array in network.parameters().values():
            values.append(others[at : at + array.size])
            at += array.size
        network.assign(values)
        return total


def _close(plan: Plan, training: Training, workers: Sequence[Rows], seconds: float) -> None:
    """Report the epochs of phase two. Seconds that are no worker's, of what was sent and of the
    averaging, belong to the last."""
    lines = list(merged(workers))
    own = sum(line[name] for line in lines for name in SECONDS)
    lines[-1]["train_seconds"] += max(0.0, seconds - own)
    for epoch, line in enumerate(lines, plan.together + 1):
        training.diverged = not math.isfinite(line["train_loss"])
        last = epoch == plan.work.epochs
        if last and not training.diverged:
            del line["connections"]  # those of the average
        training.close_epoch(epoch, tested=last, **line)
