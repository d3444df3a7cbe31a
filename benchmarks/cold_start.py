"""Seconds from nothing to the first training step, with compiled code to be had or not.

    python benchmarks/cold_start.py [--backend numba-csr] [--threads 2] [--rounds 3]

784-1000-1000-1000-10, epsilon 20, All-ReLU, dropout 0.3, SGD with momentum and weight decay,
batch 128. Each row is a new process; `cold` starts with an empty cache of compiled code, `warm`
with what that left. Then the CPU's name changes, as if the cache were on a shared disk, and
changes back: the last row is warm only if both machines' code is kept.

plugins   finding them                build  the network, in the same way as a trial's
import    what the components import  step   the first step, and the second
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from typing import Any

CPU = "NUMBA_CPU_NAME"
OTHER_CPU = "haswell"


def measure(backend: str) -> dict[str, float]:
    """The stages in this process, from its first import on."""
    laps = {"": time.perf_counter()}

    def lap(name: str) -> None:
        laps[name] = time.perf_counter()

    from sparsebench.discovery import load_plugins

    plugins = load_plugins()
    lap("plugins")
    wanted: dict[str, Any] = {
        "model": {
            "name": "mlp",
            "hidden": [1000, 1000, 1000],
            "activation": {"name": "all-relu", "alpha": 0.6},
            "dropout": 0.3,
        },
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 0.0002},
        "topology": {"name": "static", "epsilon": 20},
        "backend": backend,
        "objective": "classification",
    }
    parts = {
        kind: plugins.build(kind, plugins.validate(kind, given, kind))
        for kind, given in wanted.items()
    }
    import numpy as np

    from sparsebench.core.data.prepare import prepare
    from sparsebench.core.data.samples import Parts
    from sparsebench.core.training.build_network import build_network
    from sparsebench.core.training.work import Work
    from sparsebench.core.worker.meter import Meter

    lap("import")
    rng = np.random.default_rng(0)
    images = rng.standard_normal((128, 784), dtype=np.float32)
    labels = np.arange(128) % 10
    data = prepare(Parts(images, labels, images, labels), parts["objective"], seed=0)
    work = Work(**parts, pruning=None, data=data, epochs=1, batch_size=128, seed=0, meter=Meter())
    network = build_network(work)
    lap("build")
    X, y = data.train.batch(np.arange(128))
    for t, name in ((1, "step"), (2, "second step")):
        network.train_step(X, y, 0.01, t)
        lap(name)
    times = list(laps.values())
    return dict(zip(list(laps)[1:], (b - a for a, b in pairwise(times))))


def started(backend: str, environment: dict[str, str]) -> dict[str, float]:
    """The stages of a new process; `all` is what a user waits for, the interpreter included."""
    clock = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--backend", backend, "--measure"],
        env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - clock
    return {**json.loads(done.stdout), "all": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="numba-csr")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.backend)))
        return
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    threads = {f"{name}_NUM_THREADS": str(given.threads) for name in names}
    cases = (("cold", {}), ("warm", {}), ("other cpu", {CPU: OTHER_CPU}), ("back", {}))
    found: dict[str, list[dict[str, float]]] = {name: [] for name, _ in cases}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name, more in cases:
                environment = {**threads, "NUMBA_CACHE_DIR": cache, **more}
                found[name].append(started(given.backend, environment))
    stages = list(found["cold"][0])
    print(f"{given.backend}, {given.threads} threads, median seconds of {given.rounds} rounds")
    print("".join(f"{word:>13s}" for word in ("", *stages)))
    for name, rounds in found.items():
        medians = (statistics.median(each[stage] for each in rounds) for stage in stages)
        print(f"{name:>13s}" + "".join(f"{seconds:13.3f}" for seconds in medians))


if __name__ == "__main__":
    main()
