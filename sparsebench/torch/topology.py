"""Topology methods for torch: `TopologyScheduler` drops and grows connections between steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsebench.core.arrays import Array, Vector
from sparsebench.core.methods.training_position import TrainingStep, Validation
from sparsebench.core.methods.update import TopologyUpdater
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.torch.linear import SparseLinear
from sparsebench.torch.products import component

MOMENTA = ("momentum_buffer", "exp_avg")
"""The names of the smoothed gradient in the state of torch's SGD and of Adam."""


class TopologyScheduler:
    """Applies a topology method to the sparse layers of a module.

    scheduler = TopologyScheduler(model, optimizer, "set", steps_per_epoch=len(loader), epochs=10)
    for batch: ...; loss.backward(); optimizer.step(); scheduler.step()

    module     its `SparseLinear` layers are updated, in the order of `module.modules()`
    optimizer  its state follows the connections; methods that use momentum read it here
    topology   a topology method: its name, its table as in a suite, or the object. If the method's
               number of connections changes over time, it ends at the method's density: build the
               layers by `sparsify` with the same table
    validate   returns the loss and a score on held-out samples, for methods that use them

    Methods that use a mini-batch (RigL, CTRE) get the one just trained on, with the gradients from
    before the step. Deviation: in sparsebench's own loop, they get the next mini-batch, with the
    weights after the step. `layers[-1]` counts as the output layer.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        topology: Any = "set",
        *,
        steps_per_epoch: int,
        epochs: int,
        seed: int = 0,
        validate: Callable[[], tuple[float, float]] | None = None,
    ) -> None:
        """Raises ValueError if there is no sparse layer, and Unsupported if the optimizer does not
        keep the momentum that the method needs."""
        self.layers = [m for m in module.modules() if isinstance(m, SparseLinear)]
        if not self.layers:
            raise ValueError("TopologyScheduler: the module has no SparseLinear; see sparsify")
        self.topology = component("topology", topology)
        self._steps_per_epoch, self._epochs, self._validate = steps_per_epoch, epochs, validate
        self._step = 0
        network: Any = _Network(self.layers, optimizer)
        adapter: Any = _Momentum(optimizer)
        self._updater = TopologyUpdater(
            network, self.topology, None, self.layers[0].init, adapter, seed
        )
        needs = self.topology.needs
        for layer in self.layers:
            layer.watched = needs.every_step or "batch" in needs.signals
        if "validation" in needs.signals and validate is None:
            raise ValueError(f"{type(self.topology).__name__} needs `validate`")
        self._updater.watch(self._at)
        self._network = network

    @property
    def dropped(self) -> int:
        """The number of connections dropped so far in all layers."""
        return sum(self._updater.counts.dropped)

    @property
    def grown(self) -> int:
        return sum(self._updater.counts.grown)

    def step(self) -> bool:
        """Count a step, and update the topology if an update is due. Call this after each step of
        the optimizer. Returns whether there was an update; after the very last step there is
        none."""
        self._step += 1
        step = self._at(self._step)
        if self._network.look is not None:
            for index, layer in enumerate(self.layers):
                if layer.signals is not None:
                    self._network.look(index, layer.signals.X, layer.signals.DZ, self._step)
        due = not step.last_step and self._updater.due(step)
        if due:
            self._updater.update(step, self._signals, self._validation)
        for layer in self.layers:
            layer.signals = None
        return due

    def state_dict(self) -> dict[str, Any]:
        """The number of steps and the method's state. The connections are in the module's
        `state_dict`."""
        saved = {name: torch.from_numpy(np.array(a)) for name, a in self._updater.saved()}
        return {"step": self._step, "arrays": saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._step = int(state["step"])
        arrays = {name: tensor.numpy() for name, tensor in state["arrays"].items()}
        self._updater.restore(arrays, self._updater.counts)

    def _at(self, t: int) -> TrainingStep:
        epoch, within = divmod(t - 1, self._steps_per_epoch)
        ended = within == self._steps_per_epoch - 1
        return TrainingStep(epoch + 1, self._epochs, t, self._steps_per_epoch, ended)

    def _signals(self) -> list[Any]:
        missing = [n for n, layer in enumerate(self.layers) if layer.signals is None]
        if missing:
            raise RuntimeError(
                f"{type(self.topology).__name__} looks at the last backward pass, and layers "
                f"{missing} had none; call step() after it"
            )
        signals: list[Any] = [layer.signals for layer in self.layers]
        behind = [*(after.X for after in signals[1:]), None]  # the activation lies in between
        return [
            own if X is None or X.shape != own.A.shape else replace(own, A=X)
            for own, X in zip(signals, behind, strict=True)
        ]

    def _validation(self) -> Validation:
        assert self._validate is not None
        return Validation(*self._validate())


class _Layer:
    """The part of `protocols.Layer` that topology updates need, for a `SparseLinear`."""

    def __init__(self, module: SparseLinear, optimizer: torch.optim.Optimizer) -> None:
        self._module, self._optimizer = module, optimizer
        self.shape = module.pattern.shape

    @property
    def nnz(self) -> int:
        return self._module.pattern.nnz

    def weights(self) -> CsrMatrix:
        return self._module.matrix()

    def apply_change(self, change: Change) -> None:
        self._module.apply_change(change, self._optimizer)

    def state(self) -> dict[str, Vector]:
        return dict(self._states())

    def scale_state(self, factor: float) -> None:
        for _, array in self._states():
            array *= array.dtype.type(factor)

    def _states(self) -> Iterator[tuple[str, Array]]:
        for name, value in self._optimizer.state.get(self._module.weight, {}).items():
            if isinstance(value, Tensor) and value.shape == (self.nnz,):
                yield name, value.numpy()


class _Network:
    """The part of `protocols.Network` that topology updates need. `look` is called by the
    scheduler, with the signals of the last backward pass."""

    look: Callable[[int, Any, Any, int], None] | None = None

    def __init__(self, modules: list[SparseLinear], optimizer: torch.optim.Optimizer) -> None:
        self.layers = [_Layer(module, optimizer) for module in modules]

    def observe(self, X: Any, T: Any, t: int) -> Any:
        raise NotImplementedError

    def activations(self, X: Any, number: int) -> Any:
        raise NotImplementedError

    def input_gradients(self, X: Any, t: int) -> Any:
        raise NotImplementedError

    def watch(self, after_backward: Callable[[int, Any, Any, int], None]) -> None:
        self.look = after_backward


class _Momentum:
    """Provides the optimizer's smoothed gradient to topology methods."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        kept = {"momentum": MOMENTA[0], "betas": MOMENTA[1]}
        groups = optimizer.param_groups
        self.slots = tuple(
            slot for key, slot in kept.items() if all(group.get(key) for group in groups)
        )

    def smoothed_gradient(self, state: Mapping[str, Vector]) -> Vector:
        return next(state[name] for name in MOMENTA if name in state)
