"""Trainings in processes of their own: a process that has run threads of numba cannot fork."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from small import prepare, small_work
from sparsebench_parallel.hogwild.trainer import Hogwild

from sparsebench.core.training.loop import train
from sparsebench.core.training.work import Work
from sparsebench.discovery import load_plugins


def build(kind: str, given: Any) -> Any:
    plugins = load_plugins()
    return plugins.build(kind, plugins.validate(kind, given, kind))


def work_of(**given: Any) -> Work:
    """dataset  real data, by name"""
    dataset = given.pop("dataset", None)
    if dataset is not None:
        seed = given.get("seed", 0)
        given["data"] = prepare(build("dataset", dataset).load(), seed=seed, split_seed=0)
    return small_work(build, **given)


def accuracies(workers: int, seeds: Sequence[int], **given: Any) -> list[float | int | None]:
    """Of trainings one after the other, whose workers were all forked before the first."""
    works = [work_of(seed=seed, **given) for seed in seeds]
    if workers == 0:
        return [train(work).measures["test_accuracy"] for work in works]
    trainer = Hogwild(workers)
    forked = [trainer.fork(work) for work in works]
    return [trainer.run(work).measures["test_accuracy"] for work in forked]


def trained(workers: int, **given: Any) -> dict[str, Any]:
    """What a small training gave; with 0 workers, the sequential one."""
    progress: list[tuple[int, int, float]] = []
    work = work_of(progress=lambda *report: progress.append(report), **given)
    result = train(work) if workers == 0 else Hogwild(workers).run(work)
    network = result.network
    return {
        "values": [np.array(value) for value in network.values()],
        "patterns": [layer.weights().pattern.keys() for layer in network.layers],
        "epochs": [epoch.to_json() for epoch in result.epochs],
        "measures": result.measures,
        "layers": result.layers,
        "diverged": result.diverged,
        "progress": progress,
    }


def error_of(workers: int, **given: Any) -> str:
    """The type and the message of what a training raises; empty if it raises nothing."""
    try:
        trained(workers, **given)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def error_after_threads(workers: int) -> str:
    """The same in a process that has run threads of numba."""
    trained(0, epochs=1)
    return error_of(workers)
