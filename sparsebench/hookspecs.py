"""The hooks of a plugin.

A hook receives `register(name, target, *, params=None, requires=(), summary="", get="")`:

name      the name in suites
target    the component: a class, or "module:Class", which is imported only when it is used
params    "module:Class" of a dataclass with the component's parameters, in a module free of heavy
          imports; default: the target itself
requires  modules that must be importable for the component to be available
summary   a line for `sparsebench ls`
get       the command that installs what is required; printed if it is missing

plugins/README.md has a complete example of each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import pluggy

from sparsebench.core.metric import Metric

PROJECT = "sparsebench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    def __call__(
        self,
        name: str,
        target: type | str,
        *,
        params: type | str | None = None,
        requires: tuple[str, ...] = (),
        summary: str = "",
        get: str = "",
    ) -> None: ...


class AddSection(Protocol):
    def __call__(
        self,
        title: str,
        target: Callable[..., Any] | str,
        *,
        place: Literal["before", "after"] = "after",
    ) -> None: ...


AddFolder = Callable[[Path], None]
AddMetric = Callable[[Metric], None]
AddCommand = Callable[[str, Callable[..., Any] | str], None]


def _of_kind() -> Callable[[Register], None]:
    """The specification of a hook that registers components of a kind."""

    def hook(register: Register) -> None: ...

    return hookspec(hook)


register_backends = _of_kind()
"""Providers of layers: `protocols.Backend`."""
register_models = _of_kind()
"""Networks over a backend's layers: `protocols.Model`."""
register_topologies = _of_kind()
"""Topology methods, which decide where connections are: `methods.protocols.Topology`."""
register_allocations = _of_kind()
"""Allocations, the number of connections of each layer at the start:
`methods.protocols.Allocation`."""
register_drops = _of_kind()
"""Drop criteria, which connections are weakest: `methods.protocols.Drop`."""
register_grows = _of_kind()
"""Growths, where new connections are placed: `methods.protocols.Grow`."""
register_update_schedules = _of_kind()
"""Update schedules, when and how much of the topology is updated:
`methods.protocols.UpdateSchedule`."""
register_redistributions = _of_kind()
"""Redistributions of dropped connections between layers: `methods.protocols.Redistribution`."""
register_density_schedules = _of_kind()
"""Density schedules, the number of connections over time: `methods.protocols.DensitySchedule`."""
register_prunings = _of_kind()
"""Prunings, which remove neurons for good beside any topology method:
`methods.protocols.Pruning`."""
register_activations = _of_kind()
"""Nonlinearities between layers: `protocols.Activation`."""
register_initializers = _of_kind()
"""Values of new connections: `protocols.Initializer`."""
register_losses = _of_kind()
"""Losses, which training minimises: `protocols.Loss`."""
register_objectives = _of_kind()
"""Objectives, which define targets, loss and scores: `protocols.Objective`."""
register_optimizers = _of_kind()
"""Update rules: `protocols.Optimizer`."""
register_schedules = _of_kind()
"""Learning-rate schedules: `protocols.Schedule`."""
register_observers = _of_kind()
"""Observers, which measure a network while it trains: `observer.Observer`."""
register_trainers = _of_kind()
"""Trainers, which train a trial in one process or several: `core.training.work.Trainer`."""
register_executors = _of_kind()
"""Executors, which run trials: `run.executor.Executor`."""


@hookspec
def register_datasets(register: Register, data_dir: Path) -> None:
    """Features and targets: `core.data.dataset.Dataset`. `data_dir` is the directory in use."""


@hookspec
def register_metrics(add: AddMetric) -> None:
    """Declarations of measured quantities: `add(metric)`, a `sparsebench.Metric`."""


@hookspec
def register_suites(add_folder: AddFolder) -> None:
    """Folders of suite files: `add_folder(path)`."""


@hookspec
def register_report_sections(add: AddSection) -> None:
    """Sections of the report: `add(title, function, place="after")`. The place is before or after
    the tables on results, time and memory."""


@hookspec
def register_commands(add: AddCommand) -> None:
    """Commands of the command line: `add(name, target)`. The target is a function or its
    "module:function"."""
