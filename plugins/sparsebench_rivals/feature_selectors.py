"""Other networks that select features, by their authors' own packages. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Interval, MinLen
from sparsebench_plugins.feature_selection.without_network import Scorer

if TYPE_CHECKING:
    from sparsebench.core.arrays import Array, Matrix

Count = Annotated[int, Interval(gt=0)]
Hidden = Annotated[tuple[Count, ...], MinLen(1)]


def dense(X: Any) -> Matrix:
    """X as a dense array, because these packages accept nothing else."""
    found: Matrix = X if hasattr(X, "ctypes") else X.toarray()
    return found


@dataclass(frozen=True)
class LassoNet(Scorer):
    """LassoNet: a network with a linear skip connection, in which a rising penalty removes one
    input after the other. The score of an input is the penalty at which it is removed.

    hidden      number of neurons of each hidden layer
    epochs      the most epochs of the first training, and of each step of the path
    batch_size  samples per batch; none: all samples
    path        factor between two penalties of the path
    hierarchy   M: an input's weights in the first layer are at most M times its weight in the skip
                connection

    Lemhadri et al. (2021), arXiv 1907.12207, by the package lassonet with its other defaults: it
    holds out a tenth of the samples for early stopping.
    """

    hidden: Hidden = (100,)
    epochs: tuple[Count, Count] = (1000, 100)
    batch_size: Count | None = None
    path: Annotated[float, Interval(gt=1)] = 1.02
    hierarchy: Annotated[float, Interval(gt=0)] = 10.0

    computed_by: ClassVar[str] = "lassonet"

    def scores(self, X: Any, y: Array, seed: int) -> Array:
        from lassonet import LassoNetClassifier

        model = LassoNetClassifier(
            hidden_dims=self.hidden, n_iters=self.epochs, batch_size=self.batch_size,
            path_multiplier=self.path, M=self.hierarchy, device="cpu", verbose=0,
            random_state=seed, torch_seed=seed,
        )  # fmt: skip
        model.path(dense(X), y, return_state_dicts=False, disable_lambda_warning=True)
        scores: Array = model.feature_importances_.numpy()
        return scores


@dataclass(frozen=True)
class StochasticGates(Scorer):
    """Stochastic gates: each input has a gate that is random in training, and the expected number
    of open gates is penalised. The score of an input is mu of its gate, which in training is
    mu + 0.5 and normal noise, clipped to 0 and 1.

    hidden         number of neurons of each hidden layer
    epochs         number of epochs
    batch_size     samples per batch
    learning_rate  learning rate of Adam
    sigma          standard deviation of the gates' noise
    penalty        lambda: factor of the expected share of open gates

    Yamada et al. (2020), arXiv 1810.04247, by the package stg with its other defaults.
    """

    hidden: Hidden = (400, 200)
    epochs: Count = 100
    batch_size: Count = 100
    learning_rate: Annotated[float, Interval(gt=0)] = 0.001
    sigma: Annotated[float, Interval(gt=0)] = 0.5
    penalty: Annotated[float, Interval(ge=0)] = 0.1

    computed_by: ClassVar[str] = "stg"

    def scores(self, X: Any, y: Array, seed: int) -> Array:
        from collections import UserDict, UserList, abc
        from types import SimpleNamespace

        import torch
        from stg import STG, utils

        # the package is of 2020, and Python 3.10 has these elsewhere
        utils.collections = SimpleNamespace(
            UserDict=UserDict, UserList=UserList, Mapping=abc.Mapping, Sequence=abc.Sequence,
            Set=abc.Set,
        )  # fmt: skip
        torch.manual_seed(seed)  # the package keeps its own random_state and does not use it
        model = STG(
            device="cpu", task_type="classification", input_dim=X.shape[1],
            output_dim=int(y.max()) + 1, hidden_dims=list(self.hidden), activation="relu",
            sigma=self.sigma, lam=self.penalty, optimizer="Adam",
            learning_rate=self.learning_rate, batch_size=self.batch_size,
            feature_selection=True,
        )  # fmt: skip
        model.fit(dense(X), y, nr_epochs=self.epochs, verbose=False, shuffle=True)
        scores: Array = model.get_gates("raw")
        return scores
