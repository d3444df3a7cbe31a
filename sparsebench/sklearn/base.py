"""The base class of the estimators: parameters, training and files, around a `Learner`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
)
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,
)

from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.core.training.work import EpochRecord
from sparsebench.errors import SparsebenchError
from sparsebench.sklearn.learner import AUTO, Learner

DEFAULT_TOPOLOGY = {"name": "set", "update": "cosine"}

DENSITY = 0.2
"""The density if the estimator sets none, and the topology's table has no density, epsilon or
allocation."""


class SparseNetwork(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators.

    hidden_layer_sizes   numbers of neurons of the hidden layers
    activation           name of the activation, or its table as in a suite
    topology             name of the topology method, or its table as in a suite:
                         {"name": "set", "drop": "magnitude", "grow": "gradient"}; None: SET with a
                         drop fraction that falls to 0 as a cosine, because few samples make few
                         steps between two updates
    density              connections / possible connections; None: 0.2, unless topology sets it
    dropout              fraction of hidden neurons that a training step leaves out
    optimizer            name of the optimizer, or its table as in a suite
    learning_rate        None: the default of the optimizer
    weight_decay         None: the default of the optimizer
    batch_size           samples per step
    max_iter             the most epochs of a `fit`
    tol                  the least improvement that counts, of the loss or, with early_stopping, of
                         the validation score
    n_iter_no_change     epochs without improvement after which training ends; None: never
    early_stopping       hold out samples, end when their score no longer improves, and keep the
                         network of the best epoch
    validation_fraction  fraction of the samples to hold out
    scaling              scaling of the inputs: feature (each has mean 0 and deviation 1), data (all
                         values together have mean 0 and deviation 1), range (each is from 0 to
                         1), none
    backend              "auto": numba-csr if training takes longer than its compilation, else
                         scipy-csr; both give the same results up to rounding
    threads              threads of numba-csr; None: numba's setting
    random_state         seed of connections, initial weights, batches and dropout
    warm_start           whether `fit` continues from the last fit, instead of starting anew
    verbose              show a progress bar
    plugin_files         files of plugins with further components

    weights_     for each layer, scipy's csr (outputs, inputs)
    biases_      for each layer, (outputs,)
    loss_curve_  mean loss of each epoch
    n_iter_      number of epochs trained, those of earlier fits included if they were continued
    """

    _estimator_type: str
    _after_epoch: Callable[[Learner], None] | None = None

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (100, 100),
        activation: Any = "relu",
        *,
        topology: Any = None,
        density: float | None = None,
        dropout: float = 0.0,
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        batch_size: int = 32,
        max_iter: int = 100,
        tol: float = 1e-4,
        n_iter_no_change: int | None = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        scaling: str = "feature",
        backend: Any = AUTO,
        threads: int | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
        plugin_files: Sequence[str] = (),
    ) -> None:
        set_parameters(self, locals())

    # --- learning ---------------------------------------------------------------------

    def _learn(self, X: Any, y: Array, objective: Any, weights: Vector | None, **more: Any) -> None:
        """Implements `fit`, with a new learner or, with warm_start, the existing one."""
        fresh = not (self.warm_start and hasattr(self, "learner_"))
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        with _one_line():
            if fresh:
                self.learner_ = self._new_learner(objective, seed, **more)
                self.loss_curve_: list[float] = []
            held_out = None
            if self.early_stopping:
                X, y, weights, held_out = self._split(X, y, weights, seed)
            with limited_threads(self.threads), _progress(self.max_iter, self.verbose) as show:
                self._until_done(self.learner_.train(X, y, self.max_iter, weights, held_out), show)

    def _learn_once(self, X: Any, y: Array, objective: Any, **more: Any) -> None:
        """Implements `partial_fit`: trains one epoch, with a new learner in the first call."""
        with _one_line():
            if not hasattr(self, "learner_"):
                seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
                self.learner_ = self._new_learner(objective, seed, **more)
                self.loss_curve_ = []
            last = max(self.max_iter, self.learner_.epoch + 2)
            with limited_threads(self.threads):
                for record in self.learner_.train(X, y, 1, last=last):
                    self.loss_curve_.append(record.train_loss)
        self.n_iter_ = self.learner_.epoch

    def _until_done(self, records: Iterator[EpochRecord], show: Any) -> None:
        """Train epochs until there is no improvement for `n_iter_no_change` epochs. With early
        stopping, then restore the network of the best epoch.

        records  trains an epoch each time that a record is taken from it
        show     called with the record of each epoch
        """
        best, best_epoch, kept = -np.inf, 0, None
        score_curve = []
        for record in records:
            self.loss_curve_.append(record.train_loss)
            score = -record.train_loss
            if self.early_stopping:
                metric = self.learner_.part("objective").scores[0]
                score = (record.value(f"test_{metric.name}") or 0.0) * metric.better
                score_curve.append(score)
            show(record)
            if self._after_epoch is not None:
                self._after_epoch(self.learner_)
            if score > best + self.tol or best_epoch == 0:
                best, best_epoch = score, record.epoch
                kept = self.learner_.snapshot() if self.early_stopping else None
            elif self.n_iter_no_change and record.epoch - best_epoch >= self.n_iter_no_change:
                break
        if kept is not None:
            self.learner_.return_to(kept)
            self.validation_scores_, self.best_epoch_ = score_curve, best_epoch
        self.n_iter_ = self.learner_.epoch

    def _split(self, X: Any, y: Array, weights: Vector | None, seed: int) -> tuple[Any, ...]:
        rows = np.arange(X.shape[0])
        strata = y if self._stratified() else None
        kept, held = train_test_split(
            rows, test_size=self.validation_fraction, random_state=seed, stratify=strata
        )
        chosen = None if weights is None else weights[kept]
        return X[kept], y[kept], chosen, (X[held], y[held])

    def _stratified(self) -> bool:
        return False

    def _new_learner(self, objective: Any, seed: int, outputs: int | None = None) -> Learner:
        for name in ("batch_size", "max_iter"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name}={value!r}; expected a whole number above 0")
        components = {
            "model": self._model(),
            "topology": self._topology(),
            "optimizer": _table(
                self.optimizer, learning_rate=self.learning_rate, weight_decay=self.weight_decay
            ),
            "objective": objective,
            "backend": self.backend,
        }
        return Learner(
            components, seed, int(self.batch_size), self.scaling, outputs, tuple(self.plugin_files)
        )

    def _model(self) -> dict[str, Any]:
        return {
            "name": "mlp",
            "hidden": [int(size) for size in np.atleast_1d(self.hidden_layer_sizes)],
            "activation": self.activation,
            "dropout": self.dropout,
        }

    def _topology(self) -> dict[str, Any]:
        given = _table(DEFAULT_TOPOLOGY if self.topology is None else self.topology)
        if given["name"] == "dense" or given.keys() & {"density", "epsilon", "allocation"}:
            return given if self.density is None else given | {"density": self.density}
        return given | {"density": DENSITY if self.density is None else self.density}

    # --- what was learnt --------------------------------------------------------------

    @property
    def weights_(self) -> list[Any]:
        from scipy.sparse import csr_matrix

        matrices = (layer.weights() for layer in self._learnt().network.layers)
        return [csr_matrix((W.data, W.indices, W.indptr), shape=W.shape) for W in matrices]

    @property
    def biases_(self) -> list[Vector]:
        return [layer.bias() for layer in self._learnt().network.layers]

    def _learnt(self) -> Learner:
        check_is_fitted(self, "learner_")
        learner: Learner = self.learner_
        return learner

    def _outputs(self, X: Any) -> Matrix:
        check_is_fitted(self, "learner_")
        X = self._checked(X, reset=False)
        with limited_threads(self.threads):
            return self._learnt().outputs_for(X)

    def _checked(self, X: Any, y: Any = "no_validation", **more: Any) -> Any:
        sparse = "csr" if self._takes_csr() else False
        return validate_data(self, X, y, accept_sparse=sparse, dtype=TYPES, **more)

    def _takes_csr(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._takes_csr()
        tags.non_deterministic = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "learner_")

    # --- files ------------------------------------------------------------------------

    def save(self, file: str | Path) -> None:
        """Write an npz file without pickled objects; `sparsebench.load_model` reads it too.

        The optimizer's state is not saved, so a warm start begins with fresh state.
        """
        learner, more = self._learnt(), {}
        for name in SAVED:
            if hasattr(self, name):
                more[name] = np.asarray(getattr(self, name)).tolist()
        parameters = self.get_params(deep=False)
        if not isinstance(self.random_state, Integral):
            parameters["random_state"] = None
        described = json.dumps(
            {"class": type(self).__name__, "parameters": parameters, "attributes": more},
            default=_plain,
        )
        names = getattr(self, "classes_", None)
        if names is not None and names.dtype == object:
            names = names.astype(str)
        learner.save(Path(os.path.expanduser(file)), names, json.loads(described))

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Load an estimator that `save` wrote. Raises ValueError if the file is not such a file."""
        with _one_line():
            learner, facts = Learner.load(Path(os.path.expanduser(file)))
        if facts["class"] != cls.__name__:
            raise ValueError(f"{file} holds a {facts['class']}; expected a {cls.__name__}")
        parameters: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in facts["parameters"].items()
        }
        estimator = cls(**parameters)
        estimator.learner_ = learner
        for name, value in facts["attributes"].items():
            kind = object if name == "feature_names_in_" else None
            setattr(estimator, name, np.asarray(value, kind) if name in ARRAYS else value)
        return estimator


ARRAYS = ("classes_", "feature_names_in_")
SAVED = (*ARRAYS, "n_features_in_", "_n_features_out", "loss_curve_", "n_iter_")
"""Attributes of a fitted estimator that are saved in its file."""

TYPES = [np.float32, np.float64, np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64]
"""Types of inputs that are scaled batch by batch, without a copy of all inputs."""


def set_parameters(estimator: Any, given: dict[str, Any]) -> None:
    """Set all parameters of a constructor as attributes, because scikit-learn expects these.

    given  the constructor's local variables
    """
    for name in type(estimator)._get_param_names():
        setattr(estimator, name, given[name])


def _table(component: Any, **more: Any) -> dict[str, Any]:
    """A component, given by name or as a table, as a table with those parameters of `more` that are
    not None."""
    given = {"name": component} if isinstance(component, str) else dict(component)
    return given | {name: value for name, value in more.items() if value is not None}


def _plain(value: Any) -> Any:
    """A numpy value as JSON data."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} cannot be saved in a file; give it as plain data")


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Within the block, turn a SparsebenchError, an error in parameters or data, into a ValueError,
    as scikit-learn expects."""
    try:
        yield
    except SparsebenchError as error:
        raise ValueError(str(error)) from error


@contextlib.contextmanager
def limited_threads(count: int | None) -> Iterator[None]:
    if count is None:
        yield
        return
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextlib.contextmanager
def _progress(epochs: int, shown: bool) -> Iterator[Any]:
    """Within the block, show a progress bar. Gives a function that is called with the record of
    each epoch."""
    if not shown:
        yield lambda record: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    loss = TextColumn("loss {task.fields[loss]}")
    columns = (TextColumn("epoch"), BarColumn(), MofNCompleteColumn(), loss)
    with Progress(*columns) as progress:
        task = progress.add_task("epochs", total=epochs, loss="")
        yield lambda record: progress.update(task, advance=1, loss=f"{record.train_loss:.4g}")
