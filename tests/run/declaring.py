"""A plugin with metrics of its own: a trainer that writes them each epoch, and trains nothing."""

from dataclasses import dataclass
from typing import Any

from sparsebench import DefaultGate, Metric, hookimpl
from sparsebench.core.training.work import EpochRecord, Result

SHARE = Metric(
    "silent_share", "fraction", "points", -1, ("trial", "epoch", "layer"), "silent share",
    tracked=True, gate=DefaultGate(floor=0.05),
)  # fmt: skip
DEAD = Metric("silent_neurons", "count", "exact", -1, ("trial", "epoch", "layer"), "silent neurons")


@dataclass(frozen=True)
class Counting:
    """`dead` neurons more each epoch in the first layer, by seed; declares one metric itself.

    metrics  follows from the parameters, as a component's may
    """

    dead: int = 2

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (DEAD,)

    def run(self, work: Any) -> Result:
        for number in range(1, work.epochs + 1):
            dead = [self.dead * number, 1]
            work.report(
                EpochRecord(
                    epoch=number, train_loss=1.0, test_loss=1.0, test_accuracy=0.5,
                    validation_accuracy=None, learning_rate=0.1, connections=[20, 10],
                    dropped=[0, 0], grown=[0, 0], pruned=[0, 0], data_seconds=0.0,
                    train_seconds=0.1, topology_seconds=0.0, eval_seconds=0.0,
                    metrics={
                        "silent_neurons": sum(dead),
                        "silent_share": sum(dead) / 100 + work.seed / 1000,
                        "never_declared": 0.5 * number,
                    },
                    layer_metrics={"silent_neurons": dead},
                )
            )  # fmt: skip
        measures = {"test_accuracy": 0.5, "connections": 30, "net_peak_bytes": 2**20}
        return Result(measures=measures, layers=[], network=None)


@hookimpl
def register_metrics(add: Any) -> None:
    add(SHARE)


@hookimpl
def register_trainers(register: Any) -> None:
    register("counting", Counting)
