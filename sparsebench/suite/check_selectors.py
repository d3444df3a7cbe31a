"""Does each exclude, expect and claim of a suite reach a trial, and each claim a metric?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparsebench.core.trial import Trial
from sparsebench.errors import SuiteError, nearest
from sparsebench.metrics import Metrics
from sparsebench.suite.suite import Suite, Where
from sparsebench.suite.where import matches, parameter_keys
from sparsebench.validation import quoted, shown


def check_where(suite: Suite, every: Sequence[Trial], kept: Sequence[Trial]) -> None:
    """SuiteError for an exclude, expect or claim that matches no trial.

    every  all trials of the grid;  kept  those that are not excluded
    """
    known = {key for trial in every for key in parameter_keys(trial)}
    for where, place, trials in _wheres(suite, every, kept):
        for key in where:
            head, dot, _ = key.partition(".")
            full = "topology." + key if head == "prune" else key
            if dot and full not in known:
                raise SuiteError(
                    f"{place}.{quoted(key)}: no trial has this parameter.{nearest(key, known)}"
                )
        if not any(matches(where, trial) for trial in trials):
            excluded = any(matches(where, trial) for trial in every)
            raise SuiteError(
                f"{place}: {'matches excluded trials only' if excluded else 'matches no trial'}: "
                f"{shown(dict(where))}. {_seen(where, every)}"
            )


def check_metrics(suite: Suite, metrics: Metrics) -> None:
    """SuiteError for a claim about what no trial measures."""
    known = [metric.name for metric in metrics.of_trials()]
    for index, claim in enumerate(suite.claims):
        if claim.metric not in known:
            raise SuiteError(
                f"claims[{index}].metric: unknown metric {claim.metric!r}."
                f"{nearest(claim.metric, known)}"
            )


def _wheres(
    suite: Suite, every: Sequence[Trial], kept: Sequence[Trial]
) -> Iterator[tuple[Where, str, Sequence[Trial]]]:
    for index, exclude in enumerate(suite.excludes):
        yield exclude.where, f"exclude[{index}].where", every
        if exclude.unless is not None:
            yield {**exclude.where, **exclude.unless}, f"exclude[{index}].unless", every
    for index, expect in enumerate(suite.expects):
        yield expect.where, f"expect[{index}].where", kept
    for index, claim in enumerate(suite.claims):
        yield claim.where, f"claims[{index}].where", kept
        if claim.against is not None:
            yield claim.against, f"claims[{index}].against", kept


def _seen(where: Where, trials: Sequence[Trial]) -> str:
    """The nearest match and what is known, for the first key that nothing agrees with."""
    for key, wanted in where.items():
        if not any(matches({key: wanted}, trial) for trial in trials):
            values = {_value_text(key, trial) for trial in trials}
            return f"For {key}:{nearest(str(wanted), values)}"
    return "No trial has all of these at once"


def _value_text(key: str, trial: Trial) -> str:
    head, *rest = key.split(".")
    value: Any = trial.topology.get("prune") if head == "prune" else getattr(trial, head)
    for step in rest:
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        return str(value["name"])
    return '""' if value is None else str(value)
