"""Declares every measured quantity once: its name, its unit, and how it is compared.

Frames, exports, claims, gates, tables and charts read this table. A plugin adds to it with the hook
`register_metrics`, a component with an attribute `metrics`. A run's manifest keeps their
declarations, so that a store can be read without the plugin. Free of heavy imports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from sparsebench.core.metric import DefaultGate, Kind, Metric
from sparsebench.errors import PluginError

if TYPE_CHECKING:
    from sparsebench.core.trial import Trial

OURS = "sparsebench"

_TRIAL_AND_EPOCH: tuple[Kind, ...] = ("trial", "epoch")
_LAYERS: tuple[Kind, ...] = ("epoch", "layer")

EXACT_FLOOR = 2**19
"""Floor in bytes of the gate on exactly measured net peaks. Those of trials that differ only in the
seed mostly differ by less than 0.1 MiB, and for networks of a few MiB by at most 0.8 MiB."""

TRAINING = (
    Metric("neurons", "count", "exact", gate=DefaultGate()),
    Metric("initial_connections", "count", "exact"),
    Metric("connections", "count", "exact", kinds=("trial", "epoch", "layer"), gate=DefaultGate()),
    Metric("dense_connections", "count", "exact"),
    Metric("density", "fraction", "exact"),
    Metric(
        "test_accuracy", "fraction", "points", +1, _TRIAL_AND_EPOCH, "test accuracy",
        tracked=True, gate=DefaultGate(floor=0.005),
    ),
    Metric("best_test_accuracy", "fraction", "points", +1),
    Metric("validation_accuracy", "fraction", "points", +1, _TRIAL_AND_EPOCH),
    Metric("selected_test_accuracy", "fraction", "points", +1),
    Metric("train_loss", better=-1, kinds=_TRIAL_AND_EPOCH),
    Metric("test_loss", better=-1, kinds=_TRIAL_AND_EPOCH, symbol="nats", tracked=True),
    Metric("wall_seconds", "seconds", "ratio", -1, title="whole trial", tracked=True),
    Metric("train_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH),
    Metric("topology_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH, "topology updates"),
    Metric("data_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH, "assembling batches"),
    Metric("eval_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH),
    Metric("observe_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH),
    Metric("warmup_seconds", "seconds", "ratio", -1, title="warm-up"),
    Metric(
        "epoch_seconds", "seconds", "ratio", -1, title="time per epoch",
        tracked=True, gate=DefaultGate(threshold=0.25, action="warn"),
    ),
    Metric(
        "samples_per_second", "per second", "ratio", +1, title="samples/s", symbol="samples/s",
        tracked=True,
    ),
    Metric("cpu_seconds", "seconds", "ratio", -1),
    Metric("bytes_sent", "bytes", "exact", -1),
    Metric("peak_rss_bytes", "bytes", "ratio", -1, title="whole process", tracked=True),
    Metric(
        "net_peak_bytes", "bytes", "ratio", -1, title="net peak",
        tracked=True, gate=DefaultGate(threshold=0.05, floor=2 * 2**20, exact_floor=EXACT_FLOOR),
    ),
    Metric("stored_bytes", "bytes", "exact", -1, title="stored", tracked=True, gate=DefaultGate()),
    Metric("method_bytes", "bytes", "exact", -1, title="of the method"),
    Metric("least_bytes", "bytes", "exact"),
    Metric("predicted_epoch_seconds", "seconds", "ratio"),
    Metric("bytes_sent_per_step", "bytes", "ratio", -1, whole=False),
    Metric("staleness_mean", better=-1),
    Metric("staleness_max", better=-1),
    Metric("worker_step_seconds", "seconds", "ratio", -1),
    Metric("master_step_seconds", "seconds", "ratio", -1),
    Metric("phase_two_seconds", "seconds", "ratio", -1),
    Metric("train_samples", "count", "exact"),
    Metric("gather_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH, "batches, in the step"),
    Metric("forward_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH, "forward, in the step"),
    Metric("backward_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH, "backward, in the step"),
    Metric("update_seconds", "seconds", "ratio", -1, _TRIAL_AND_EPOCH, "updates, in the step"),
)  # fmt: skip
"""Metrics of a trial that trains, in the order of an export's columns."""

KERNELS = (
    Metric(
        "kernel_seconds", "seconds", "ratio", -1,
        tracked=True, gate=DefaultGate(threshold=0.25, action="warn"),
    ),
    Metric("kernel_least_seconds", "seconds", "ratio", -1),
    Metric("kernel_bytes", "bytes", "exact", -1),
    Metric("kernel_flops", "count", "exact", -1),
    Metric("bytes_per_second", "per second", "ratio", +1),
    Metric("flops_per_second", "per second", "ratio", +1, symbol="flop/s", tracked=True),
    Metric("roofline_share", "fraction", "ratio", +1, timed=True, title="share of the roofline"),
    Metric("roofline_best_share", "fraction", "ratio", +1, timed=True),
    Metric("gather_bytes_per_second", "per second", "ratio"),
    Metric("stream_bytes_per_second", "per second", "ratio"),
    Metric("memory_bytes_per_second", "per second", "ratio"),
    Metric("peak_flops_per_second", "per second", "ratio"),
    Metric("start_seconds", "seconds", "ratio", -1),
)  # fmt: skip
"""Metrics of a trial that times one operation, such as a sparse product, instead of training."""

PROCESSES = (
    Metric("peak_tree_pss_bytes", "bytes", "ratio", -1, title="peak of all processes"),
    Metric("cgroup_peak_bytes", "bytes", "ratio", -1, title="peak of the control group"),
)
"""Metrics of a trial with several processes; columns only if there was such a trial."""

EPOCHS = (
    Metric("epoch", "count", kinds=("epoch",)),
    Metric("learning_rate", kinds=("epoch",)),
    Metric("dropped", "count", kinds=_LAYERS),
    Metric("grown", "count", kinds=_LAYERS),
    Metric("pruned", "count", kinds=_LAYERS),
    Metric("rss_bytes", "bytes", kinds=("epoch",)),
)
"""Metrics of an epoch that are not metrics of a trial."""

PRIMARY = "test_accuracy"
"""The primary metric of a record that does not name one."""

BUILT_IN = {metric.name: metric for metric in (*TRAINING, *KERNELS, *PROCESSES, *EPOCHS)}

LABELS = (
    "run", "trial", "status", "cause", "suite", "dataset", "backend", "model", "topology",
    "activation", "trainer", "optimizer", "seed", "threads", "workers", "epochs", "batch_size",
    "prune",
)  # fmt: skip
CIRCUMSTANCES = ("contended", "exact", "machine", "commit", "kernel", "bound")
FINDINGS = ("truly_sparse", "audit", "noise", "oversubscribed", "step")
"""LABELS, CIRCUMSTANCES and FINDINGS: the columns of a trial that are not metrics."""

EPOCH_ORDER = (
    "epoch", "train_loss", "test_loss", "test_accuracy", "validation_accuracy", "learning_rate",
    "connections", "dropped", "grown", "pruned",
    "data_seconds", "train_seconds", "topology_seconds", "eval_seconds",
    "observe_seconds", "gather_seconds", "forward_seconds", "backward_seconds", "update_seconds",
    "rss_bytes",
)  # fmt: skip
"""Order of an epoch's columns; further metrics follow."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Metrics(Mapping[str, Metric]):
    """The built-in metrics and those that others declare, by name, each with its owner."""

    def __init__(self, declared: Iterable[Metric] = ()) -> None:
        """declared  declarations of stored runs; they replace built-in ones of the same name"""
        self._metrics = {**BUILT_IN, **{metric.name: metric for metric in declared}}
        self._owners: dict[str, str] = {}

    def __or__(self, other: Metrics) -> Metrics:
        """The metrics of both; if two declarations differ, that of `other`."""
        return Metrics([*self.added(), *other.added()])

    def __getitem__(self, name: str) -> Metric:
        return self._metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    def declaration(self, name: str) -> Metric:
        """The metric of this name; a plain one if it was never declared."""
        return self._metrics.get(name) or Metric(name)

    def add(self, metric: Metric, owner: str) -> None:
        """Declare a metric. Raises PluginError for an invalid name, and if a metric of this name is
        already declared differently."""
        if not isinstance(metric, Metric):
            raise PluginError(f"{owner} declares {metric!r:.60}; expected a sparsebench.Metric")
        if not _NAME.fullmatch(metric.name):
            raise PluginError(
                f"metric {metric.name!r} of {owner}: a name is a column: small letters, digits "
                "and underscores, at most 64"
            )
        if metric.name in (*LABELS, *CIRCUMSTANCES, *FINDINGS):
            raise PluginError(f"metric {metric.name!r} of {owner}: is a label of a trial")
        if self._metrics.setdefault(metric.name, metric) != metric:
            raise PluginError(
                f"metric {metric.name!r} is declared twice, differently: "
                f"by {self._owners.get(metric.name, OURS)} and by {owner}"
            )
        self._owners.setdefault(metric.name, owner)

    def copy(self) -> Metrics:
        copied = Metrics(self._metrics.values())
        copied._owners = dict(self._owners)
        return copied

    def with_measured(self, names: Iterable[str]) -> Metrics:
        """A copy with plain declarations of measured names that were never declared."""
        unknown = [name for name in dict.fromkeys(names) if name not in self]
        return Metrics([*self.added(), *map(Metric, unknown)])

    def added(self) -> list[Metric]:
        """The metrics that are not built in."""
        return [m for name, m in self._metrics.items() if BUILT_IN.get(name) != m]

    def of_trials(self) -> list[Metric]:
        """The metrics that have one value per trial."""
        return [metric for metric in self.values() if "trial" in metric.kinds]


class Declaring(Protocol):
    """The part of `registry.Plugins` that concerns metrics."""

    metrics: Metrics

    @property
    def registries(self) -> Mapping[str, Any]: ...

    def parameters(self, kind: str, component: dict[str, Any]) -> Any: ...


def declared_metrics(plugins: Declaring, trials: Iterable[Trial] = ()) -> Metrics:
    """The metrics that plugins declare, and those that the components of these trials declare in
    their attribute `metrics`, which may depend on their parameters. Imports only the classes of
    parameters."""
    found = plugins.metrics.copy()
    seen: set[str] = set()
    for trial in trials:
        for name, value in vars(trial).items():
            kind = name if name in plugins.registries else name.removesuffix("s")
            several = value if isinstance(value, list | tuple) else [value]
            for component in several if kind in plugins.registries else ():
                key = f"{kind} {component}"
                if key in seen or not isinstance(component, Mapping) or "name" not in component:
                    continue
                seen.add(key)
                parameters = plugins.parameters(kind, dict(component))
                for metric in getattr(parameters, "metrics", ()):
                    found.add(metric, f"{kind} {component['name']!r}")
    return found


def of_run(*manifests: Mapping[str, Any]) -> Metrics:
    """The metrics of stored runs: the built-in ones and those in the manifests."""
    kept = (one for manifest in manifests for one in manifest.get("metrics") or ())
    return Metrics(map(Metric.from_json, kept))
