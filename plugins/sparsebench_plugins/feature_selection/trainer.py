"""The trainer `feature-selection`, which selects features by a network's inputs. Free of heavy
imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval, MinLen

from sparsebench.core.metric import Metric
from sparsebench_plugins.sequential import Sequential

if TYPE_CHECKING:
    from sparsebench.core.training.work import Result, Work

Judge = Literal["svm", "svm-unscaled", "knn", "extra-trees"]
Judges = Annotated[tuple[Judge, ...], MinLen(1)]
JUDGES: tuple[Judge, ...] = ("svm", "knn", "extra-trees")
Importance = Literal["strength", "connections", "attribution", "gradients", "neuron-importance"]
Count = Annotated[int, Interval(gt=0)]

TITLES = {
    "svm": "SVM", "svm-unscaled": "SVM without scaling", "knn": "nearest neighbour",
    "extra-trees": "extra trees",
}  # fmt: skip

METRICS = (
    Metric("selected_features", "count", title="features selected"),
    *(
        Metric(
            f"{judge.replace('-', '_')}_accuracy", "fraction", "points", better=1,
            title=f"accuracy of {TITLES[judge]} on the selection",
        )
        for judge in TITLES
    ),
    *(
        Metric(
            f"{judge.replace('-', '_')}_balanced_error", "fraction", "points", better=-1,
            title=f"balanced error of {TITLES[judge]} on the selection",
        )
        for judge in TITLES
    ),
    Metric(
        "selected_noise", "fraction", "points", better=-1, title="known noise among the selection"
    ),
    Metric("selection_seconds", "seconds", "ratio", better=-1, title="time of scoring features"),
    Metric(
        "selection_net_peak_bytes", "bytes", "ratio", better=-1,
        title="net peak until the selection",
    ),
    Metric("judging_seconds", "seconds", "ratio", title="time of judging the selection"),
)  # fmt: skip


@dataclass(frozen=True)
class FeatureSelection(Sequential):
    """Train the network, select the most important inputs, and train other classifiers on these
    features only. Classifiers are trained on the training part and scored on the test part.

    features    number of features that are selected
    importance  strength: sum of an input's |w| at the end (QuickSelection, NeuroFS; "QS")
                connections: number of an input's connections
                attribution: sum over the outputs of the mean |gradient| with respect to an input,
                added up over the epochs ("Attr", arXiv 2408.04583)
                gradients: I = beta I + mean |gradient of the loss| with respect to an input, at
                each step (GradEnFS)
                neuron-importance: the importance that the growth of that name accumulates (WAST)
    judges      svm: RBF kernel, C 1; knn: the nearest neighbour; extra-trees: 50 trees; these get
                the network's scaled inputs; svm-unscaled: svm on inputs in the data's own units
    beta        decay factor of `gradients`
    samples     number of training samples that `attribution` uses after each epoch

    The judges have scikit-learn's defaults, as in the released codes of QuickSelection, NeuroFS and
    GradEnFS. Deviations: `attribution` is computed after each epoch, in its paper at each step;
    GradEnFS has batch normalisation in its network, which is missing here. With `gradients`,
    training goes layer by layer.
    """

    features: Count = 50
    importance: Importance = "strength"
    judges: Judges = JUDGES
    beta: Annotated[float, Interval(ge=0, le=1)] = 0.9
    samples: Count = 1000

    def warm_up(self, work: Work) -> None:
        """Warm up the judges too, so that their imports do not count as the trial's memory."""
        from sparsebench.core.training.warmup import warm_up
        from sparsebench_plugins.feature_selection.judges import warm_up_judges

        warm_up(work, gradients=False, watched=self.importance == "gradients")
        warm_up_judges(self.judges)

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.feature_selection.training import train_and_select

        return train_and_select(work, self)
