"""An epoch on csr inputs, against the same data made dense: the two take turns in one process.

    SPARSEBENCH_DATA=folder python benchmarks/csr_input.py
    SPARSEBENCH_DATA=folder python benchmarks/csr_input.py --data farm_ads --batch 32

Prints seconds of making batches and of training, the median of the epochs and the least; a compiled
step makes its batch itself. What csr inputs put off in one epoch is made good in the next, so that
it is counted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
from interleaved_step import network

from sparsebench.core.arrays import Rows
from sparsebench.core.data.prepare import TrialData, prepare
from sparsebench.core.data.samples import Parts
from sparsebench.core.protocols import Network, TrainsManySteps
from sparsebench.core.worker.denormals import flush_to_zero
from sparsebench.discovery import load_plugins
from sparsebench.folders import data_directory


class Side:
    """A network and its data."""

    def __init__(self, parts: Parts, backend: str, hidden: list[int], epsilon: float) -> None:
        plugins = load_plugins()
        objective = plugins.build("objective", plugins.validate("objective", "classification", ""))
        self.data: TrialData = prepare(parts, objective, seed=0, scaling="none")
        self.network: Network = network(
            backend, hidden, epsilon, self.data.features, self.data.outputs
        )
        self.source = self.data.train.scaled_rows()
        self.step = 0
        self.times: list[tuple[float, float]] = []

    def epoch(self, batch: int, rate: float) -> None:
        """Train once through the samples; note the seconds of making batches and of training."""
        examples = self.data.train
        order = np.random.default_rng(self.step).permutation(len(examples))
        making = training = 0.0
        for start in range(0, order.size, batch):
            rows = order[start : start + batch]
            self.step += 1
            begun = made = time.perf_counter()
            if not self._trained(rows, rate):
                X, T = examples.batch(rows)
                made = time.perf_counter()
                self.network.train_step(X, T, rate, self.step)
            making += made - begun
            training += time.perf_counter() - made
        self.times.append((making, training))

    def _trained(self, rows: Rows, rate: float) -> bool:
        """Make a step whose batch a compiled call gathers, as training does; False where it cannot,
        so that nothing was done."""
        examples, network = self.data.train, self.network
        source = self.source
        if source is None or not isinstance(network, TrainsManySteps):
            return False
        losses = network.train_steps(
            source, examples.targets, examples.rows_of(rows), rows, rows.size, [rate], self.step
        )
        return losses is not None

    def line(self) -> str:
        making, training = zip(*self.times[1:], strict=True)
        return ", ".join(
            f"{what} {1e3 * statistics.median(times):.1f} ms (least {1e3 * min(times):.1f})"
            for what, times in (("an epoch's batches", making), ("training", training))
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="dorothea", help="A set of the data directory, csr.")
    parser.add_argument("--hidden", type=int, nargs="+", default=[1000])
    parser.add_argument("--epsilon", type=float, default=20)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backend", default="numba-csr")
    given = parser.parse_args()
    flush_to_zero()
    plugins = load_plugins(data_dir=data_directory())
    stored = plugins.build("dataset", plugins.validate("dataset", given.data, "dataset")).load()
    X, X_test = stored.X_train, stored.X_test
    dense = replace(
        stored, X_train=X.toarray(), X_test=None if X_test is None else X_test.toarray()
    )
    sides = {
        name: Side(parts, given.backend, given.hidden, given.epsilon)
        for name, parts in (("csr", stored), ("dense", dense))
    }
    for turn in range(given.rounds + 1):
        for side in sides.values():
            side.epoch(given.batch, given.rate)
            if turn == 0:  # it compiles and touches memory, and so does a look at the weights
                side.network.values()
    print(
        f"{given.data}: {X.shape[0]} x {X.shape[1]}, {X.nnz / X.shape[0]:.0f} values a sample, "
        f"batch {given.batch}, {given.backend}"
    )
    for name, side in sides.items():
        print(f"{name:6s} {side.line()}")
    pairs = list(zip(sides["csr"].times[1:], sides["dense"].times[1:], strict=True))
    for what, of in (("training", lambda t: t[1]), ("with batches", sum)):
        ratios = [of(dense) / of(csr) for csr, dense in pairs]
        print(f"{what}: {statistics.median(ratios):.1f} times as fast, {min(ratios):.1f} at least")


if __name__ == "__main__":
    main()
