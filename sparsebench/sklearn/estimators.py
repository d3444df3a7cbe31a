"""The estimators: a classifier, a regressor and an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
)

from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.sklearn.base import SparseNetwork, limited_threads, set_parameters
from sparsebench.sklearn.learner import AUTO


class SparseMLPClassifier(ClassifierMixin, SparseNetwork):  # type: ignore[misc]
    """A truly sparse multilayer perceptron that is trained with cross-entropy.

    Parameters, besides those of `SparseNetwork`:
    class_weight  as in scikit-learn: None, "balanced", or a weight per class
    """

    classes_: Array

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
        class_weight: Any = None,
        backend: Any = AUTO,
        threads: int | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
        plugin_files: Sequence[str] = (),
    ) -> None:
        set_parameters(self, locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network. X (samples, features) is an array, csr or a frame; y has a label per
        sample; sample_weight is (samples,), none negative."""
        X, y = self._checked(X, y)
        check_classification_targets(y)
        known, codes = np.unique(y, return_inverse=True)
        if (
            self.warm_start
            and hasattr(self, "learner_")
            and not np.array_equal(known, self.classes_)
        ):
            raise ValueError(
                f"y has classes {known.tolist()}, and the warm start {self.classes_.tolist()}"
            )
        self.classes_ = known
        if known.size < 2:
            raise ValueError(f"y has 1 class ({known[0]}); expected at least 2 classes")
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            weights = weights * compute_sample_weight(self.class_weight, y)
        X, codes, weights = _counted(X, codes, weights)
        self._learn(X, codes, "classification", weights, outputs=known.size)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Train one epoch on these samples. The first call needs `classes`, the list of all labels,
        and also determines how inputs are scaled."""
        first = not hasattr(self, "learner_")
        if first and classes is None:
            raise ValueError("classes, all labels there are, must be passed on the first call")
        X, y = self._checked(X, y, reset=first)
        check_classification_targets(y)
        if first:
            self.classes_ = np.unique(classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes={classes!r} is not what the first call passed")
        codes = np.searchsorted(self.classes_, y).clip(max=self.classes_.size - 1)
        unknown = self.classes_[codes] != y
        if unknown.any():
            raise ValueError(f"y has {y[unknown][0]!r}, which is not in classes")
        self._learn_once(X, codes, "classification", outputs=self.classes_.size)
        return self

    def predict(self, X: Any) -> Array:
        """The most likely label of each sample."""
        best = self._outputs(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """(samples, classes) probabilities, in the order of `classes_`."""
        Z = self._outputs(X).astype(np.float64)
        Z -= Z.max(axis=1, keepdims=True)
        np.exp(Z, out=Z)
        Z /= Z.sum(axis=1, keepdims=True)
        return Z

    def predict_log_proba(self, X: Any) -> Array:
        return np.log(self.predict_proba(X))

    def _stratified(self) -> bool:
        return True


class SparseMLPRegressor(RegressorMixin, SparseNetwork):  # type: ignore[misc]
    """A truly sparse multilayer perceptron that is trained with squared errors. There may be
    several targets per sample; they are standardised. Parameters: see `SparseNetwork`."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network. X (samples, features) is an array, csr or a frame; y is (samples,) or
        (samples, targets); sample_weight is (samples,), none negative."""
        X, y = self._checked(X, y, multi_output=True, y_numeric=True)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        X, y, weights = _counted(X, y, weights)
        self._learn(X, y, _objective_of(y), weights)
        return self

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Train one epoch on these samples. The first call determines how inputs and targets are
        scaled."""
        first = not hasattr(self, "learner_")
        X, y = self._checked(X, y, multi_output=True, y_numeric=True, reset=first)
        self._learn_once(X, y, _objective_of(y))
        return self

    def predict(self, X: Any) -> Array:
        """The predicted targets, (samples,) or (samples, targets), like y in training."""
        outputs = self._outputs(X)
        return self._learnt().targets.predict(outputs.T)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class SparseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SparseNetwork):  # type: ignore[misc]
    """A truly sparse network that reconstructs its inputs. The outputs of its middle layer are
    codes of the inputs.

    hidden_layer_sizes  sizes of the encoder's layers, which the decoder mirrors: (500, 100) makes
                        n-500-100-500-n
    noise               standard deviation of normal noise on the scaled inputs in training; targets
                        have no noise

    Other parameters: see `SparseNetwork`. Inputs must be dense.
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (100,),
        activation: Any = "sigmoid",
        *,
        noise: float = 0.0,
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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the network on X (samples, features); y is not used."""
        X = self._checked(X)
        self._learn(X, np.zeros(X.shape[0], dtype=np.int64), self._objective(), None)
        self._n_features_out = self._model()["hidden"][-1]
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train one epoch on these samples. The first call determines how inputs are scaled."""
        X = self._checked(X, reset=not hasattr(self, "learner_"))
        self._learn_once(X, np.zeros(X.shape[0], dtype=np.int64), self._objective())
        self._n_features_out = self._model()["hidden"][-1]
        return self

    def transform(self, X: Any) -> Matrix:
        """(samples, neurons of the middle layer) the codes of X."""
        check_is_fitted(self, "learner_")
        X = self._checked(X, reset=False)
        with limited_threads(self.threads):
            return self._learnt().codes(X, len(self._model()["hidden"]))

    def reconstruct(self, X: Any) -> Array:
        """(samples, features) the reconstructions of X, in the units of X."""
        outputs = self._outputs(X)
        return self._learnt().targets.predict(outputs.T)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean squared error of the reconstruction, over all samples and features, in
        units of the scaled inputs."""
        outputs = self._outputs(X)
        scaled: Any = self._learnt().inputs.scaled(self._checked(X, reset=False))
        return -float(np.mean((outputs - scaled.T) ** 2))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _objective(self) -> dict[str, Any]:
        return {"name": "reconstruction", "noise": self.noise}

    def _model(self) -> dict[str, Any]:
        return super()._model() | {"name": "autoencoder"}

    def _takes_csr(self) -> bool:
        return False


def _objective_of(y: Array) -> str:
    return "regression" if y.ndim == 1 else "dense-output"


def _counted(X: Any, y: Array, weights: Vector | None) -> tuple[Any, Array, Vector | None]:
    """The samples without those of weight 0, because a batch of only these would have no mean."""
    if weights is None or (weights > 0).all():
        return X, y, weights
    rows = np.flatnonzero(weights > 0)
    if rows.size == 0:
        raise ValueError("sample_weight is 0 for every sample")
    return X[rows], y[rows], weights[rows]
