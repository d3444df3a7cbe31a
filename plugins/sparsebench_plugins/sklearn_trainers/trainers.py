"""Trainers that fit an estimator of scikit-learn in place of the trial's network.

Data, splits, scores, time and memory are handled as in any other trial. The trial's model,
topology, backend and epochs are not used.

Free of heavy imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from sparsebench.errors import Unsupported

if TYPE_CHECKING:
    from sparsebench.core.training.work import Result, Work

Positive = Annotated[float, Interval(gt=0)]
Iterations = Annotated[int, Interval(gt=0)]


class Reference:
    """Base class of these trainers. Override `estimator`; see `fitting.Reference`."""

    def estimator(self, *, labels: bool, seed: int) -> Any:
        raise NotImplementedError

    def warm_up(self, work: Work) -> None:
        from sparsebench_plugins.sklearn_trainers.fitting import warm_up

        warm_up(self, work)

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.sklearn_trainers.fitting import fit

        return fit(self, work)


@dataclass(frozen=True)
class LogisticRegression(Reference):
    """scikit-learn's LogisticRegression: a linear model of labels, with an L2 penalty.

    C           inverse strength of the penalty
    iterations  the most iterations of its solver (lbfgs)
    """

    C: Positive = 1.0
    iterations: Iterations = 1000

    def estimator(self, *, labels: bool, seed: int) -> Any:
        from sklearn import linear_model

        if not labels:
            raise Unsupported("logistic-regression predicts labels; for numbers: ridge-regression")
        return linear_model.LogisticRegression(
            C=self.C, max_iter=self.iterations, random_state=seed
        )


@dataclass(frozen=True)
class RidgeRegression(Reference):
    """scikit-learn's Ridge: a linear model of numbers, with an L2 penalty.

    alpha  strength of the penalty
    """

    alpha: Positive = 1.0

    def estimator(self, *, labels: bool, seed: int) -> Any:
        from sklearn import linear_model

        if labels:
            raise Unsupported("ridge-regression predicts numbers; for labels: logistic-regression")
        return linear_model.Ridge(alpha=self.alpha, random_state=seed)


@dataclass(frozen=True)
class GradientBoosting(Reference):
    """scikit-learn's HistGradientBoosting: boosted trees, for labels or a number per sample.

    iterations     the most rounds of boosting; each adds a tree, or a tree per class if there are
                   three or more classes
    learning_rate  factor of each tree
    """

    iterations: Iterations = 100
    learning_rate: Positive = 0.1

    def estimator(self, *, labels: bool, seed: int) -> Any:
        from sklearn import ensemble

        name = f"HistGradientBoosting{'Classifier' if labels else 'Regressor'}"
        return getattr(ensemble, name)(
            max_iter=self.iterations, learning_rate=self.learning_rate, random_state=seed
        )
