"""A network that can be trained on arrays repeatedly, and that can be copied and pickled."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.core.data.csr_data import checked_csr, is_dense
from sparsebench.core.data.feature_scaling import scaling_of
from sparsebench.core.data.prepare import Examples, TrialData
from sparsebench.core.data.samples import ArraySamples, CsrSamples, Inputs, Samples, TargetData
from sparsebench.core.nn.input_scores import attribution, samples_at_once
from sparsebench.core.protocols import (
    CorruptsInputs,
    NamesLoss,
    Network,
    Objective,
    Observable,
    Targets,
)
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.checkpoint import network_arrays, saved_layers
from sparsebench.core.training.loop import Training
from sparsebench.core.training.model_file import write_model
from sparsebench.core.training.steps import Batches
from sparsebench.core.training.work import EpochRecord, Work
from sparsebench.discovery import load_plugins
from sparsebench.errors import DataError, Unsupported
from sparsebench.registry import Plugins
from sparsebench.sklearn.weighted_targets import ObjectiveOfRecords, with_weights
from sparsebench.trained_model import BATCH, load_model, outputs_of

Component = dict[str, Any]

KINDS = ("model", "topology", "optimizer", "objective", "backend")

COMPILES, PLAIN, AUTO = "numba-csr", "scipy-csr", "auto"

WORTH_COMPILING = 2e10
"""A number of connections x samples x epochs. With less work than this, training by scipy takes
less time than numba's first compilation, about half a minute."""


@functools.cache
def plugins_of(files: tuple[str, ...]) -> Plugins:
    """The built-in and installed components and those in the files. They are loaded once, because
    finding installed plugins takes longer than a small training."""
    return load_plugins([Path(file) for file in files])


class Unmeasured:
    """A meter that measures nothing."""

    def phase(self, name: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def rss(self) -> int:
        return 0

    def net_peak_bytes(self) -> int | None:
        return None


@dataclass
class Learner:
    """A network with its training.

    components  components by kind, as in a suite; the backend "auto" is numba-csr for more work
                than WORTH_COMPILING, else scipy-csr
    outputs     number of outputs; None: it follows from y
    step, epoch numbers of steps and epochs trained so far
    """

    components: Mapping[str, Any]
    seed: int
    batch_size: int
    scaling: str
    outputs: int | None = None
    plugin_files: Sequence[str] = ()
    step: int = 0
    epoch: int = 0
    _inputs: Inputs | None = None
    _targets: Targets | None = None
    _saved: dict[str, Array] = field(default_factory=dict)
    _parts: dict[str, Any] = field(default_factory=dict)
    _network: Network | None = None
    _weighted: bool = False

    @property
    def inputs(self) -> Inputs:
        """How inputs are scaled, which the first training determined."""
        assert self._inputs is not None
        return self._inputs

    @property
    def targets(self) -> Targets:
        assert self._targets is not None
        return self._targets

    # --- training ---------------------------------------------------------------------

    def train(
        self,
        X: Any,
        y: Array,
        epochs: int,
        weights: Vector | None = None,
        held_out: tuple[Any, Array] | None = None,
        last: int | None = None,
    ) -> Iterator[EpochRecord]:
        """Train epochs on X (samples, features) and yield the record of each as it ends.

        weights   (samples,) sample weights above 0
        held_out  X and y that are scored at the end of each epoch
        last      the epoch at which schedules end; None: the last of these epochs

        The first call determines how inputs and targets are scaled. Raises FloatingPointError if
        the loss is no longer finite.
        """
        X = X if is_dense(X) else checked_csr(X, "X")
        if self._inputs is None:
            self._fit_scales(X, y)
        objective: Objective = self.part("objective")
        examples = self._examples(X, y, weights)
        if isinstance(objective, CorruptsInputs):
            examples = replace(examples, corruption=objective.corruption(self.seed))
        test = self._examples(*held_out) if held_out is not None else examples
        last = last or self.epoch + epochs
        work = self._work(examples, test, last, weights is not None)
        if self._network is None or self._weighted != (weights is not None):
            self._network = self._restored(work.objective) if self.epoch else build_network(work)
            self._weighted = weights is not None
        training = Training(work, self._network, Batches(work, self._network))
        training.step = self.step
        for epoch in range(self.epoch + 1, self.epoch + epochs + 1):
            training.run(epoch, epoch, tested=held_out is not None)
            if training.diverged:
                raise FloatingPointError(
                    f"the loss is no longer finite in epoch {epoch}; lower the learning rate"
                )
            self.step, self.epoch = training.step, epoch
            yield training.records[-1]

    def _fit_scales(self, X: Any, y: Array) -> None:
        rows = np.arange(X.shape[0], dtype=np.int64)
        mean, scale = scaling_of(X, rows, self.scaling, "X")
        self._inputs = Inputs(X.shape[1], mean, scale)
        self._targets = self.part("objective").fit(
            TargetData(y, rows, self.inputs, self.outputs, source="y")
        )

    def _examples(self, X: Any, y: Array, weights: Vector | None = None) -> Examples:
        mean, scale = self.inputs.mean, self.inputs.scale
        assert mean is not None
        assert scale is not None
        rows = np.arange(X.shape[0], dtype=np.int64)
        X = X if is_dense(X) else checked_csr(X, "X")
        samples: Samples = (
            ArraySamples(X, rows, y, mean, scale, "")
            if is_dense(X)
            else CsrSamples(X, rows, y, scale, "")
        )
        encoded = self.targets.encode(y, "y: these samples")
        if weights is not None:
            if encoded is None:
                raise ValueError("the inputs are the targets, so samples cannot have weights")
            encoded = with_weights(encoded, weights)
        return Examples(samples, encoded)

    def _work(self, train: Examples, test: Examples, epochs: int, weighted: bool) -> Work:
        inputs, targets = self.inputs, self.targets
        parts = {kind: self.part(kind) for kind in KINDS if kind != "backend"}
        if weighted:
            parts["objective"] = ObjectiveOfRecords(parts["objective"])
        topology = self.components["topology"]
        prune = topology.get("prune") if isinstance(topology, Mapping) else None
        shapes = parts["model"].shapes(inputs.features, targets.outputs)
        work = sum(parts["topology"].connections(shapes)) * len(train) * epochs
        return Work(
            **parts,
            backend=self.part("backend", COMPILES if work > WORTH_COMPILING else PLAIN),
            pruning=self._component("pruning", prune) if prune else None,
            data=TrialData(train, test, None, targets, inputs, ""),
            epochs=epochs,
            batch_size=self.batch_size,
            seed=self.seed,
            meter=Unmeasured(),
        )

    # --- components -------------------------------------------------------------------

    def part(self, kind: str, automatic: str = PLAIN) -> Any:
        """The component of a kind, built at the first call.

        automatic  the name of the backend that "auto" means
        """
        if kind not in self._parts:
            given = self.components[kind]
            if kind == "backend" and given == AUTO:
                given = automatic
            if kind == "topology" and isinstance(given, Mapping):
                given = {key: value for key, value in given.items() if key != "prune"}
            self._parts[kind] = self._component(kind, given)
        return self._parts[kind]

    def _component(self, kind: str, given: Any) -> Any:
        plugins = plugins_of(tuple(self.plugin_files))
        return plugins.build(kind, plugins.validate(kind, given, kind))

    # --- the network ------------------------------------------------------------------

    @property
    def network(self) -> Network:
        if self._network is None:
            self._network, self._weighted = self._restored(self.part("objective")), False
        return self._network

    def outputs_for(self, X: Any) -> Matrix:
        """(samples, outputs) pre-activations of the last layer."""
        return outputs_of(self.network, self.inputs, X)

    def codes(self, X: Any, number: int) -> Matrix:
        """(samples, neurons) activations of a hidden layer, counted from 1."""
        network = self.network
        if not isinstance(network, Observable):
            raise Unsupported(f"{type(network).__name__} does not show its activations")
        out = np.empty((X.shape[0], network.layers[number - 1].shape[0]), dtype=np.float32)
        for start in range(0, X.shape[0], BATCH):
            rows = slice(start, start + BATCH)
            out[rows] = network.activations(self.inputs.scaled(X[rows]), number).T
        return out

    def attribution(self, X: Any, samples: int) -> Array:
        """(features,) the sum over the outputs of the mean |gradient| with respect to each scaled
        input, over the first `samples` samples."""
        network = self.network
        if not isinstance(network, Observable):
            raise Unsupported(f"{type(network).__name__} does not show its gradients")
        count, size = min(samples, X.shape[0]), samples_at_once(X.shape[1])
        parts = (
            self.inputs.scaled(X[start : min(start + size, count)])
            for start in range(0, count, size)
        )
        return attribution(network, parts, self.step + 1)

    def snapshot(self) -> dict[str, Array]:
        """Copies of all arrays of the network and its optimizer state, O(connections)."""
        if self._network is None:
            return self._saved
        return {name: np.array(array) for name, array in network_arrays(self._network)}

    def return_to(self, arrays: dict[str, Array]) -> None:
        """Restore the network from the arrays of `snapshot`."""
        self._network, self._saved = None, arrays

    def _restored(self, objective: Any) -> Network:
        """The network rebuilt from `snapshot`, with the loss of this objective. Frees the saved
        arrays."""
        arrays = self.snapshot()
        model, backend, optimizer = (self.part(kind) for kind in ("model", "backend", "optimizer"))
        shapes = model.shapes(self.inputs.features, self.targets.outputs)
        layers = [backend.layer(*saved, optimizer) for saved in saved_layers(arrays, shapes)]
        loss = objective.loss_with(model.loss if isinstance(model, NamesLoss) else None)
        network: Network = model.network(layers, backend, optimizer, self.seed, loss)
        network.restore(arrays)
        self._saved = {}
        return network

    # --- files ------------------------------------------------------------------------

    def save(self, file: Path, names: Array | None, facts: Mapping[str, Any]) -> None:
        """Write the network as `sparsebench export-model` does, without its optimizer's state.

        names  names of the classes
        facts  JSON data that `load` returns
        """
        known = {"components": dict(self.components), "scaling": self.scaling,
                 "batch_size": self.batch_size, "outputs": self.outputs, "step": self.step,
                 "epoch": self.epoch, "plugin_files": list(self.plugin_files)}  # fmt: skip
        plugins = plugins_of(tuple(self.plugin_files))
        validated = {
            kind: plugins.validate(kind, given, kind)
            for kind, given in self.components.items()
            if kind not in ("topology", "backend")
        }
        targets = self.targets
        if names is not None and hasattr(targets, "names"):
            targets = replace(targets, names=names)  # type: ignore[type-var]
        write_model(
            file,
            {"trial": "", **validated, "backend": {"name": PLAIN}, "seed": self.seed,
             "learner": known, "estimator": facts},
            self.network, self.inputs, targets,
        )  # fmt: skip

    @classmethod
    def load(cls, file: Path) -> tuple[Learner, Any]:
        """A learner and the facts that it was saved with. Raises DataError if the file is not one
        that `save` wrote."""
        found = load_model(file)
        known = found.facts.get("learner")
        if not isinstance(known, dict):
            raise DataError(f"{file} is a model, but not one that an estimator saved")
        learner = cls(seed=found.facts["seed"], **known)
        learner._inputs, learner._targets = found.inputs, found.targets
        learner._saved = dict(network_arrays(found.network))
        return learner, found.facts.get("estimator")

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickling, without compiled code: the network is rebuilt from its arrays
        when it is needed."""
        return vars(self) | {"_saved": self.snapshot(), "_parts": {}, "_network": None}
