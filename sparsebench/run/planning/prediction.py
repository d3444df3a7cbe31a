"""What a trial is predicted to need, and whether it can have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sparsebench.core.trial import Trial
from sparsebench.registry import Plugins
from sparsebench.run.planning.predict import bytes_needed, outline
from sparsebench.run.planning.rates import Rates, epoch_seconds, errand_key
from sparsebench.units import brief_size

RatesByKey = Mapping[str, Sequence[Rates]]


@dataclass(frozen=True)
class Prediction:
    """None is unknown. `least_bytes` is what there must be at one moment: stored at the start
    of training, whatever is pruned later."""

    net_peak_bytes: int | None = None
    stored_bytes: int | None = None
    least_bytes: int | None = None
    epoch_seconds: float | None = None

    def measures(self) -> dict[str, float | int | None]:
        """As a record has them."""
        return {
            "predicted_net_peak_bytes": self.net_peak_bytes,
            "predicted_stored_bytes": self.stored_bytes,
            "predicted_epoch_seconds": self.epoch_seconds,
        }


def predict(trial: Trial, plugins: Plugins, rates: RatesByKey | None = None) -> Prediction:
    """Of one trial; its seconds only where its backend has been timed."""
    of = outline(trial, plugins)
    if of is None:
        return Prediction()
    needed = bytes_needed(of)
    timed = (rates or {}).get(errand_key(trial), ())
    batch = of.network.batches[0]
    fitting = next((one for one in timed if one.batch == batch and one.points), None)
    return Prediction(
        net_peak_bytes=needed.peak if needed is not None else None,
        stored_bytes=needed.stored if needed is not None else None,
        least_bytes=needed.least if needed is not None else None,
        epoch_seconds=epoch_seconds(of, fitting) if fitting is not None else None,
    )


def refusal(trial: Trial, prediction: Prediction) -> str:
    """Why the trial cannot have the memory that it needs at the least; empty if it may.

    The limit is on the whole process, whose libraries need some of it too: what is refused
    would not have fitted.
    """
    limit, least = trial.memory_limit, prediction.least_bytes
    if limit is None or least is None or least <= limit:
        return ""
    peak = prediction.net_peak_bytes or least
    return (
        f"needs at least {brief_size(least)} and {brief_size(peak)} at its predicted peak, over "
        f"the memory limit of {brief_size(limit)}; give --memory-limit, make it smaller with "
        "--set, or try anyway with --no-plan"
    )


def doubt(trial: Trial, prediction: Prediction) -> str:
    """A word where only the peak is above the limit; empty if it is not."""
    limit, peak = trial.memory_limit, prediction.net_peak_bytes
    if limit is None or peak is None or peak <= limit or refusal(trial, prediction):
        return ""
    return f"may not fit: limit {brief_size(limit)}"
