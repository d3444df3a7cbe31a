"""The trainer that only infers. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.core.metric import Metric

if TYPE_CHECKING:
    from sparsebench.core.training.work import Result, Work

METRICS = (
    Metric(
        "edges_images_per_second", "per second", "ratio", +1, title="edges × images per second",
        symbol="edges*images/s", tracked=True,
    ),
    Metric("inference_seconds", "seconds", "ratio", -1, title="inference", tracked=True),
    Metric("surviving_rows", "count", "exact", title="surviving rows"),
    Metric("row_agreement", "fraction", "points", +1, title="agreement with the official rows"),
)  # fmt: skip


@dataclass(frozen=True)
class GraphChallengeInference:
    """Inference only: a pass over all images an epoch, layer after layer of the trial's backend, in
    batches. `inference_seconds` is the median pass.

    skip_dead  images whose outputs are all 0 are left out of the layers that follow, as the biases
               are negative: they stay 0

    Y <- min(32, max(0, Y W + b)), Kepner et al. (2019), arXiv 1909.05631. The rate counts every
    edge for every image, whether its row is dead or not. Where the surviving rows are known, others
    make the trial fail: as `error`, with what differs.
    """

    skip_dead: bool = False

    def warm_up(self, work: Work) -> None:
        from sparsebench_plugins.graph_challenge.inference import warm_up

        warm_up(work)

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.graph_challenge.inference import measure

        return measure(work, self.skip_dead)
