"""The trainer `graph-challenge`, which only does inference. Free of heavy imports."""

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
    """Inference only: each epoch is a pass over all images in batches, through the layers of the
    trial's backend. `inference_seconds` is the median time of a pass.

    skip_dead  leave images whose outputs are all 0 out of the following layers; they would stay 0,
               because biases are negative

    Y <- min(32, max(0, Y W + b)), Kepner et al. (2019), arXiv 1909.05631. The rate counts every
    connection for every image, even if the image's outputs are all 0. If it is known which images
    have other outputs than 0 at the end and the result differs, the trial ends as `error` and names
    the difference.
    """

    skip_dead: bool = False

    def warm_up(self, work: Work) -> None:
        from sparsebench_plugins.graph_challenge.inference import warm_up

        warm_up(work)

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.graph_challenge.inference import measure

        return measure(work, self.skip_dead)
