"""Phase two: the workers train copies of the network alone, and the master averages them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.archive import WithPrefix
from sparsebench.core.arrays import Array, Rows
from sparsebench.core.methods.update import Counts
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Batches
from sparsebench.core.training.work import EpochRecord, Work
from sparsebench_parallel.mpi.averaging import ModelMean
from sparsebench_parallel.mpi.master import Master
from sparsebench_parallel.mpi.messages import (
    MASTER,
    PATIENT,
    FlatValues,
    Kind,
    receive_parcel,
    send_parcel,
)
from sparsebench_parallel.mpi.plan import Plan
from sparsebench_parallel.mpi.topology_diff import Encoded, apply_encoded, apply_pattern, encode
from sparsebench_parallel.params import SHARE_ALONE
from sparsebench_parallel.partition import seed_of, stream_of

EpochRows = npt.NDArray[np.float64]

SECONDS = ("data_seconds", "train_seconds", "topology_seconds")
PER_LAYER = ("connections", "dropped", "grown", "pruned")


# --- the master ------------------------------------------------------------------------------


def lead_phase_two(plan: Plan, master: Master, training: Training, comm: Any) -> None:
    """Send the network to the workers, give it the average of the models that they return, and
    report the epochs. If a worker's loss was not finite, the network stays as it was."""
    measures, start = master.measures, time.perf_counter()
    with plan.work.meter.phase("train"):
        _send_network(plan, master, training, comm)
        mean, epochs, diverged = ModelMean(master.patterns), [], False
        for link in master.links:  # one after the other, so that one model is held at a time
            facts, arrays, received = receive_parcel(comm, link.rank, PATIENT)
            changed = Encoded(arrays["table"], arrays["positions"])
            measures.bytes += received
            measures.topology_bytes += changed.nbytes
            diverged = diverged or bool(facts["diverged"])
            epochs.append(arrays["epochs"])
            mean.add(changed, arrays["values"])
        if not diverged:
            measures.union_connections = mean.move_into(training.network, plan.options.target)
    measures.phase_two_seconds = time.perf_counter() - start
    lines = list(merged(epochs))
    # what no worker spent, in sending and averaging, belongs to the last epoch
    known = sum(line[name] for line in lines for name in SECONDS)
    lines[-1]["train_seconds"] += max(0.0, measures.phase_two_seconds - known)
    for epoch, line in enumerate(lines, plan.together + 1):
        training.diverged = not math.isfinite(line["train_loss"])
        last = epoch == plan.work.epochs
        if last and not training.diverged:
            del line["connections"]  # the record has those of the average
        training.close_epoch(epoch, tested=last, **line)


def _send_network(plan: Plan, master: Master, training: Training, comm: Any) -> None:
    """Send the network and the state needed to continue training it."""
    network, measures = master.network, master.measures
    master.close(Kind.ALONE, training.step)
    master.refresh()
    common = [("values", master.flat.packed(network.values()))]
    common += [(f"removed.{name}", array) for name, array in training.updater.saved()]
    if plan.options.state == "master":
        common += [(f"state.{name}", np.asarray(array)) for name, array in network.saved()]
    for link in master.links:
        changed = encode(link.patterns, master.patterns)
        measures.topology_bytes += changed.nbytes
        topology = [("table", changed.table), ("positions", changed.positions)]
        measures.bytes += send_parcel(comm, link.rank, {}, [*topology, *common])


def merged(workers: Sequence[EpochRows]) -> Iterator[dict[str, Any]]:
    """Yield the fields of each epoch's record, merged over the workers that reached it: mean loss
    and counts, the learning rate of the first such worker, and the seconds of the slowest.

    Stops after the first epoch whose mean loss is not finite.
    """
    for epoch in range(max(map(len, workers))):
        rows = np.array([one[epoch] for one in workers if epoch < len(one)])
        seconds, counts = rows[:, 2:5], rows[:, 5:].mean(axis=0).round().astype(int)
        line: dict[str, Any] = {
            "train_loss": float(rows[:, 0].mean()),
            "learning_rate": float(rows[0, 1]),
            **dict(zip(SECONDS, seconds[seconds.sum(axis=1).argmax()].tolist(), strict=True)),
            **dict(zip(PER_LAYER, counts.reshape(len(PER_LAYER), -1).tolist(), strict=True)),
        }
        yield line
        if not math.isfinite(line["train_loss"]):
            return


def _row(record: EpochRecord) -> list[float]:
    """The columns that `merged` reads for an epoch: loss, learning rate, SECONDS, and PER_LAYER
    for each layer."""
    names = ("train_loss", "learning_rate", *SECONDS)
    counts = [count for name in PER_LAYER for count in getattr(record, name)]
    return [*(getattr(record, name) for name in names), *counts]


# --- a worker --------------------------------------------------------------------------------


class PhaseTwoState:
    """The state that a worker receives from the master at the start of phase two.

    patterns  the pattern of each layer
    values    arrays in the order of `Network.values`
    state     arrays of `Network.saved`; empty if phase two starts with fresh state
    removed   arrays of `TopologyUpdater.saved`
    """

    def __init__(self, old: Network, arrays: Mapping[str, Array]) -> None:
        """old     the network of phase one; it is changed, and not needed afterwards
        arrays  as `_send_network` sends them"""
        apply_encoded(old, Encoded(arrays["table"], arrays["positions"]))
        self.patterns = [layer.weights().pattern for layer in old.layers]
        self.values = FlatValues(old).views(arrays["values"])
        self.state = dict(WithPrefix(arrays, "state"))
        self.removed = dict(WithPrefix(arrays, "removed"))

    def network(self, work: Work, seed: int) -> Network:
        """A new network with this state and nothing else of phase one."""
        layers = []
        for pattern, data, bias in zip(self.patterns, self.values[::2], self.values[1::2]):
            W = CsrMatrix(pattern, np.array(data))
            layers.append(work.backend.layer(W, np.array(bias), work.optimizer))
        network = work.network(layers, seed)
        self._fill(network)
        return network

    def put_back(self, network: Network) -> None:
        """Reset the network to the received state."""
        for layer, pattern in zip(network.layers, self.patterns, strict=True):
            apply_pattern(layer, pattern)
        self._fill(network)

    def _fill(self, network: Network) -> None:
        network.assign(self.values)
        if self.state:
            network.restore({name: np.array(array) for name, array in self.state.items()})


class ResettingBatches(Batches):
    """Batches of a worker whose network is reset to the state `start` after every `every` of them.
    In the released code the worker receives the master's unchanged weights again; here it keeps a
    copy."""

    def __init__(
        self,
        work: Work,
        network: Network,
        stream: tuple[int, ...],
        start: PhaseTwoState,
        every: int,
    ) -> None:
        super().__init__(work, network, stream)
        self._start, self._every, self._done = start, every, 0

    def take(self, turn: Rows, rate: float, t: int) -> tuple[float, int]:
        taken = super().take(turn, rate, t)
        self._done += 1
        if self._done % self._every == 0:
            with self.timers("train"):
                self._start.put_back(self._network)
        return taken


def train_alone(plan: Plan, part: Work, start: PhaseTwoState, worker: int, comm: Any) -> None:
    """Train one worker's copy of the network, from the state `start` to the end of the last epoch,
    and send it to the master.

    Steps are numbered as if the worker had trained alone from the beginning.
    """
    options, stream, seed = plan.options, stream_of(worker), seed_of(part.seed, worker)
    network = start.network(part, seed)
    steps = Batches(part, network, stream)
    if options.overwritten:
        every = max(1, int(SHARE_ALONE * (plan.work.epochs - options.extra_pass)))
        steps = ResettingBatches(part, network, stream, start, every)
    else:
        start.values, start.state = [], {}  # free the memory
    times = options.workers if options.scaling and options.local_scaling else 1
    if worker == 0:
        part = replace(part, progress=plan.progress(steps.per_epoch))
    training = Training(part, network, steps, seed=seed, scaled=lambda rate, t: rate * times)
    training.step = plan.together * steps.per_epoch
    training.updater.restore(start.removed, Counts.zero(len(network.layers)))
    training.run(plan.together + 1, plan.work.epochs, tested=False)
    changed = encode(start.patterns, [layer.weights().pattern for layer in network.layers])
    arrays = [
        ("table", changed.table),
        ("positions", changed.positions),
        ("values", FlatValues(network).packed(network.values())),
        ("epochs", np.array([_row(record) for record in training.records])),
    ]
    send_parcel(comm, MASTER, {"diverged": training.diverged}, arrays)
