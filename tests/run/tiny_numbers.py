"""A plugin whose networks make denormals wherever they can: weights of 1e-21, a tiny rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench import hookimpl
from sparsebench.core.data.samples import Parts
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import Result

RATE = 1e-20


@dataclass(frozen=True)
class TinyWeights:
    def draw(self, pattern: Any, count: int, rng: np.random.Generator) -> Any:
        return (1e-21 * rng.uniform(1, 2, count)).astype(np.float32)


@dataclass(frozen=True)
class Noise:
    def load(self) -> Parts:
        X = np.random.default_rng(0).standard_normal((128, 128), dtype=np.float32)
        return Parts(X, np.arange(128) % 128, X, np.arange(128) % 128)

    def identity(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Counts:
    """Counts the denormals in outputs, weights and momentum after a few steps."""

    def warm_up(self, work: Any) -> None:
        warm_up(work)

    def run(self, work: Any) -> Result:
        network = build_network(work)
        X, y = work.data.train.batch(np.arange(128))
        outputs = network.outputs(X)
        counts = {
            "outputs": denormals(outputs),
            "nonzero": int(np.count_nonzero(magnitudes(outputs))),
        }
        for t in (1, 2, 3):
            network.train_step(X, y, RATE, t)
        for layer in network.layers:
            counts["weights"] = counts.get("weights", 0) + denormals(layer.weights().data)
            for slot in layer.state().values():
                counts["momentum"] = counts.get("momentum", 0) + denormals(slot)
        return Result(measures={}, layers=[counts], network=network)


def magnitudes(values: Any) -> Any:
    """The bits of float32 numbers without their sign. Arithmetic would not see denormals."""
    return np.ascontiguousarray(values).view(np.uint32) & np.uint32(0x7FFFFFFF)


def denormals(values: Any) -> int:
    bits = magnitudes(values)
    return int(np.count_nonzero((bits > 0) & (bits < 0x00800000)))


@hookimpl
def register_initializers(register: Any) -> None:
    register("tiny", TinyWeights)


@hookimpl
def register_datasets(register: Any, data_dir: Path) -> None:
    register("noise", Noise)


@hookimpl
def register_trainers(register: Any) -> None:
    register("counts", Counts)
