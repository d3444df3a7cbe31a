"""From a trial as data to components, data and work, in the trial's process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsebench.core.observer import why_unobservable
from sparsebench.core.trial import Trial
from sparsebench.core.worker.meter import Meter
from sparsebench.core.worker.result_writer import ResultWriter
from sparsebench.errors import Unsupported
from sparsebench.registry import Plugins

if TYPE_CHECKING:
    from sparsebench.core.data.examples import TrialData
    from sparsebench.core.training.work import Work


@dataclass(frozen=True)
class Components:
    """The parts of a trial, built."""

    dataset: Any
    model: Any
    topology: Any
    pruning: Any
    optimizer: Any
    trainer: Any
    backend: Any
    observers: dict[str, Any]
    objective: Any


def build(trial: Trial, plugins: Plugins) -> Components:
    """The pruning is said with the topology, and is a component of its own. Raises Unsupported
    where the trainer has no network to show to the observers."""
    topology = dict(trial.topology)
    pruning = topology.pop("prune", None)
    parts = Components(
        dataset=plugins.build("dataset", trial.dataset),
        model=plugins.build("model", trial.model),
        topology=plugins.build("topology", topology),
        pruning=plugins.build("pruning", pruning) if pruning else None,
        optimizer=plugins.build("optimizer", trial.optimizer),
        trainer=plugins.build("trainer", trial.trainer),
        backend=plugins.build("backend", trial.backend),
        observers={one["name"]: plugins.build("observer", one) for one in trial.observers},
        objective=plugins.build("objective", trial.objective),
    )
    hidden = why_unobservable(parts.trainer, trial.trainer["name"], parts.observers)
    if hidden is not None:
        raise Unsupported(hidden)
    return parts


def prepare(parts: Components, trial: Trial) -> TrialData:
    from sparsebench.core.data.prepare import prepare as prepare_data

    return prepare_data(
        parts.dataset.load(),
        parts.objective,
        seed=trial.seed,
        split_seed=trial.split_seed,
        validation=trial.validation,
        scaling=trial.scaling,
    )


def assemble(
    parts: Components, trial: Trial, data: TrialData, meter: Meter, writer: ResultWriter | None
) -> Work:
    from sparsebench.core.training.work import Work

    listening: dict[str, Any] = {}
    if writer is not None:
        listening = {"report": writer.epoch, "progress": writer.progress}
    return Work(
        model=parts.model,
        backend=parts.backend,
        topology=parts.topology,
        pruning=parts.pruning,
        optimizer=parts.optimizer,
        observers=parts.observers,
        objective=parts.objective,
        data=data,
        epochs=trial.epochs,
        batch_size=trial.batch_size,
        seed=trial.seed,
        meter=meter,
        **listening,
    )


def warm_up(parts: Components, work: Work) -> None:
    """Compile on a throwaway network, where the trainer knows how."""
    if hasattr(parts.trainer, "warm_up"):
        parts.trainer.warm_up(work)
