"""Makes the suite of `sparsebench try`, which compares sparse networks with a dense one and with
other methods on a file.

Sizes of networks follow from the numbers of samples and features. Cases are ordered by importance,
because a run that is out of time leaves out the last ones.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.trial import Trial
from sparsebench.first_look.facts import Facts
from sparsebench.toml_file import quoted

BATCHES = ((200, 8), (500, 16), (5000, 32))
"""(number of samples, batch size): the batch size for fewer samples than this; else it is 128."""

FOLDS = 5
"""The number of folds, the least that a verdict needs."""

REPEATED = ((200, 3), (1000, 2))
"""(number of samples, repeats): for fewer samples than this, the folds are drawn repeatedly,
because differences between folds vary more."""

STEPS = 1200
"""The approximate number of steps of a training, within the least and the most epochs."""

EPOCHS = (5, 60)

WIDE = 1000
"""From this number of features on, Adam takes smaller steps, because the steps of all inputs of a
neuron add up."""

FEW = 600
"""In a training with fewer steps than this, Adam takes larger ones, so that weights can move far
from their initial values."""

WIDTHS = (512, 256, 128, 64, 32)
"""Possible widths of the hidden layers. The largest is chosen with which the dense network can be
trained in time."""

DENSE_SHARE = 1 / 3
"""The share of the time for the dense networks of the first five folds."""

DENSE_SECONDS = 2e-8, 1e-10
"""Approximate seconds of a dense step by Adam on two cores of a slow machine: for each weight, and
for each weight and sample of a batch."""

UPDATES = 40
"""The number of topology updates in a training, for methods that count steps between updates."""

POINTS, SHARE = 0.02, 0.05
"""The default margins: for an accuracy; and for an error, as a share of the targets' standard
deviation."""

REFERENCES = ("logistic-regression", "ridge-regression", "gradient-boosting")

DENSE = {"topology": "dense", "trainer": "sequential", "backend": "dense-mask"}
SPARSE = {"trainer": "sequential", "backend": "numba-csr"}


@dataclass(frozen=True)
class TrySuite:
    """The suite that `sparsebench try` makes for one data set.

    dataset  the data set as in a suite
    label    name of the data set
    minutes  time for all trials
    margin   by how much sparse networks may be worse: of the accuracy, or as a fraction of the
             targets' standard deviation; None: POINTS or SHARE
    """

    dataset: Mapping[str, Any]
    label: str
    facts: Facts
    minutes: float
    margin: float | None = None

    @property
    def hidden(self) -> int:
        """The number of neurons of each of the two hidden layers."""
        features = self.facts.features
        most = 128 if features < 200 else 256 if features < 5000 else 512
        time = 60 * self.minutes * DENSE_SHARE / FOLDS
        fitting = (w for w in WIDTHS if w <= most and self._dense_seconds(w) <= time)
        return next(fitting, WIDTHS[-1])

    def _dense_seconds(self, width: int) -> float:
        """Estimated seconds to train a dense network with hidden layers of this width."""
        weights = width * (self.facts.features + width)
        step, sample = DENSE_SECONDS
        return weights * self.steps * self.epochs * (step + sample * self.batch)

    @property
    def densities(self) -> tuple[float, ...]:
        """The densities to compare, the middle one first. With the lowest, each input has a few
        connections."""
        return 0.05, 0.2, 0.02 if self.facts.features < WIDE else 0.01

    @property
    def batch(self) -> int:
        return next((size for below, size in BATCHES if self.facts.samples < below), 128)

    @property
    def steps(self) -> int:
        """The number of steps in an epoch."""
        part = 1.0 if self.facts.has_test else (FOLDS - 1) / FOLDS
        return math.ceil(self.facts.samples * part / self.batch)

    @property
    def epochs(self) -> int:
        return min(max(STEPS // self.steps, EPOCHS[0]), EPOCHS[1])

    @property
    def rate(self) -> float:
        """The learning rate of Adam."""
        if self.facts.features >= WIDE:
            return 0.0003
        return 0.003 if self.steps * self.epochs < FEW else 0.001

    @property
    def repeats(self) -> int:
        """How often the folds are drawn; for a file with a test part, how many seeds are
        trained."""
        if self.facts.has_test:
            return FOLDS
        return next((times for below, times in REPEATED if self.facts.samples < below), 1)

    @property
    def metric(self) -> str:
        return "test_accuracy" if self.facts.classes else "test_rmse"

    @property
    def tolerance(self) -> float:
        if self.facts.classes:
            return POINTS if self.margin is None else self.margin
        return (SHARE if self.margin is None else self.margin) * self.facts.spread

    def cases(self) -> list[dict[str, Any]]:
        """The cases of the suite, the most important first."""
        middle, dense_most, least = self.densities
        linear = "logistic-regression" if self.facts.classes else "ridge-regression"
        found = [
            DENSE, _sparse("set", middle), {**DENSE, "trainer": linear},
            _sparse("set", least), _sparse("set", dense_most),
        ]  # fmt: skip
        if not self.facts.csr:
            found.append({**DENSE, "trainer": "gradient-boosting"})
        every = max(1, self.steps * self.epochs // UPDATES)
        return [*found, _sparse("rigl", middle, update_every=every), _sparse("static", middle)]

    def text(self) -> str:
        """The text of the suite file."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        facts = self.facts
        yield "schema = 1"
        yield f"name = {_toml('try-' + re.sub('[^A-Za-z0-9._-]+', '-', self.label)[:80])}"
        yield f"title = {_toml(f'Sparse against dense on {self.label}')}"
        yield f"question = {_toml(f'Is a sparse network as good as a dense one on {self.label}?')}"
        yield 'lead = "accuracy-memory"'
        yield "\n[report]\nanswer = true"
        yield f"\n[trial]\ndataset = {_toml(dict(self.dataset))}"
        yield f"model = {_toml({'hidden': [self.hidden] * 2, 'dropout': 0.2})}"
        yield f"optimizer = {_toml({'name': 'adam', 'learning_rate': self.rate})}"
        yield f"objective = {_toml('classification' if facts.classes else 'regression')}"
        yield f"epochs = {self.epochs}\nbatch_size = {self.batch}"
        yield f"timeout = {_toml(f'{max(30, round(30 * self.minutes))}s')}"
        yield "\n[grid]"
        if not facts.has_test:
            yield f"fold = {_toml([f'{number}/{FOLDS}' for number in range(1, FOLDS + 1)])}"
        yield f"seed = {_toml(list(range(self.repeats)))}"
        for case in self.cases():
            yield "\n[[case]]"
            yield from (f"{key} = {_toml(value)}" for key, value in case.items())
            yield f"keep_model = {_toml(case['backend'] == SPARSE['backend'])}"
        for key, name in self._once():
            yield f"\n[[exclude]]\nwhere = {_toml({key: name})}\nunless = {_toml({'seed': 0})}"
            yield 'reason = "only what a verdict needs is repeated"'
        for density in sorted(self.densities, reverse=True):
            yield "\n[[claims]]"
            text = f"SET at a density of {100 * density:g} % is as good as the dense network"
            yield f"text = {_toml(text)}\nmetric = {_toml(self.metric)}"
            sparse = {"topology": "set", "topology.density": density, **SPARSE}
            yield f"where = {_toml(sparse)}\nagainst = {_toml(DENSE)}"
            yield f"tolerance = {self.tolerance:.6g}"

    def _once(self) -> list[tuple[str, str]]:
        """The keys and names of components that are not repeated with other seeds."""
        if self.repeats == 1:
            return []
        once = [("trainer", "gradient-boosting"), ("topology", "rigl"), ("topology", "static")]
        if self.facts.has_test:  # the same samples, so the same result
            once = [("trainer", name) for name in REFERENCES]
        cases = self.cases()
        return [(key, name) for key, name in once if any(_name(c[key]) == name for c in cases)]

    def ordered(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials, the most important first: all cases on the folds of the first seed, then the
        others."""
        return sorted(trials, key=lambda trial: trial.seed)


def try_suite(
    path: Path, dataset: Mapping[str, Any], facts: Facts, minutes: float, margin: float | None
) -> TrySuite:
    """The comparison for a data file.

    dataset  the data set as in a suite. Its path is made absolute, so that the suite can run from
             any folder, and missing values are replaced by means unless it says otherwise
    """
    chosen = {**dataset, "path": os.path.abspath(path)}
    if facts.missing and "missing" not in chosen:
        chosen["missing"] = "mean"
    return TrySuite(chosen, path.name.removesuffix(".gz").partition(".")[0], facts, minutes, margin)


def _sparse(name: str, density: float, **more: Any) -> dict[str, Any]:
    update = {"update": "cosine"} if name == "set" else {}
    topology = {"name": name, "density": density, **update, **more}
    return {"topology": topology, **SPARSE}


def _name(component: Any) -> str:
    return str(component["name"] if isinstance(component, Mapping) else component)


def _toml(value: Any) -> str:
    """Plain data as an inline TOML value."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{quoted(k)} = {_toml(v)}' for k, v in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
