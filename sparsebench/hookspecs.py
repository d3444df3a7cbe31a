"""Every point a plugin can extend, on one screen.

A hook receives `register(name, target, *, params=None, requires=(), summary="", get="")`:

name      what a suite says
target    the component: a class, or "module:Class" that is imported only where it is used
params    "module:Class" of a dataclass with the component's parameters, in a module free
          of heavy imports; default: the target itself
requires  modules that must be importable for the component to be available
summary   one line for `sparsebench ls`
get       the command that installs what is required, told where it is missing

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


class AddFolder(Protocol):
    def __call__(self, folder: Path) -> None: ...


class AddMetric(Protocol):
    def __call__(self, metric: Metric) -> None: ...


class AddSection(Protocol):
    def __call__(
        self,
        title: str,
        target: Callable[..., Any] | str,
        *,
        place: Literal["before", "after"] = "after",
    ) -> None: ...


class AddCommand(Protocol):
    def __call__(self, name: str, target: Callable[..., Any] | str) -> None: ...


@hookspec
def register_backends(register: Register) -> None:
    """Providers of layers: `protocols.Backend`."""


@hookspec
def register_models(register: Register) -> None:
    """Networks over a backend's layers: `protocols.Model`."""


@hookspec
def register_topologies(register: Register) -> None:
    """Where connections are, and how that changes: `methods.protocols.Topology`."""


@hookspec
def register_allocations(register: Register) -> None:
    """How many connections each layer gets at the start: `methods.protocols.Allocation`."""


@hookspec
def register_drops(register: Register) -> None:
    """Which connections are weakest: `methods.protocols.Drop`."""


@hookspec
def register_grows(register: Register) -> None:
    """Where new connections go: `methods.protocols.Grow`."""


@hookspec
def register_update_schedules(register: Register) -> None:
    """When the topology is updated, and how much: `methods.protocols.UpdateSchedule`."""


@hookspec
def register_redistributions(register: Register) -> None:
    """How connections are shared between the layers: `methods.protocols.Redistribution`."""


@hookspec
def register_density_schedules(register: Register) -> None:
    """How many connections there are over time: `methods.protocols.DensitySchedule`."""


@hookspec
def register_prunings(register: Register) -> None:
    """Add-ons that remove for good, on top of any topology: `methods.protocols.Pruning`."""


@hookspec
def register_activations(register: Register) -> None:
    """Nonlinearities between layers: `protocols.Activation`."""


@hookspec
def register_initializers(register: Register) -> None:
    """Values of new connections: `protocols.Initializer`."""


@hookspec
def register_losses(register: Register) -> None:
    """What training minimises: `protocols.Loss`."""


@hookspec
def register_objectives(register: Register) -> None:
    """What is learnt, from which targets, and how it is scored: `protocols.Objective`."""


@hookspec
def register_optimizers(register: Register) -> None:
    """Update rules: `protocols.Optimizer`."""


@hookspec
def register_schedules(register: Register) -> None:
    """The learning rate over the steps: `protocols.Schedule`."""


@hookspec
def register_datasets(register: Register, data_dir: Path) -> None:
    """Features and targets: `core.data.dataset.Dataset`. `data_dir` is the directory in use."""


@hookspec
def register_observers(register: Register) -> None:
    """Numbers about a network while it trains: `observer.Observer`."""


@hookspec
def register_trainers(register: Register) -> None:
    """Who runs the training loop: `core.training.trainer.Trainer`."""


@hookspec
def register_executors(register: Register) -> None:
    """Where trials run: `protocols.Executor`."""


@hookspec
def register_metrics(add: AddMetric) -> None:
    """Declarations of measured quantities: `sparsebench.Metric`."""


@hookspec
def register_suites(add_folder: AddFolder) -> None:
    """Folders of suite files."""


@hookspec
def register_report_sections(add: AddSection) -> None:
    """Sections of the report, before or after the tables on results, time and memory."""


@hookspec
def register_commands(add: AddCommand) -> None:
    """Verbs of the command line."""
