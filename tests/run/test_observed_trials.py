"""Observers of whole trials: reuse, trainers that show no network, a stranger's metric."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sparsebench
from sparsebench.core.job import Job
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.core.worker.checkpoint_writer import Checkpoints
from sparsebench.core.worker.meter import Meter
from sparsebench.discovery import load_plugins
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import agrees, fingerprint
from sparsebench.run.options import Options
from sparsebench.run.reuse import reusable, why_not_runnable
from sparsebench.store.record import Record

README = Path(__file__).parents[2] / "plugins" / "README.md"
TODAY = {"code": "new", "versions": {}, "commit": ""}
ITOP, DEGREES = {"name": "itop"}, {"name": "degrees"}


def make_trial(plugins: Plugins, *observers: Any, **given: Any) -> Trial:
    parts = {
        "dataset": "wine",
        "model": {"name": "mlp", "hidden": [8]},
        "topology": "set",
        "optimizer": "sgd",
        "trainer": "sequential",
        "backend": "scipy-csr",
    }
    found = {
        kind: plugins.validate(kind, given.get(kind, value), kind) for kind, value in parts.items()
    }
    watching = [plugins.validate("observer", one, "observers") for one in observers]
    return Trial(**found, observers=watching, epochs=2, batch_size=16, threads=1, seed=0)


@pytest.mark.parametrize(
    ("stored", "wanted", "reused"),
    [
        ([], [], True),
        ([ITOP, DEGREES], [], True),
        ([ITOP, DEGREES], [DEGREES], True),
        ([DEGREES], [DEGREES, ITOP], False),
        ([{**ITOP, "size": 1}], [{**ITOP, "size": 2}], False),
    ],
)
def test_a_record_with_more_observers_than_wanted_is_reused(
    plugins: Plugins, stored: list[Any], wanted: list[Any], reused: bool
) -> None:
    plain = make_trial(plugins)
    record = Record(
        trial=replace(plain, observers=stored), attempt=1, status=Status.OK, fingerprint=TODAY
    )
    today = replace(plain, observers=wanted)
    found = reusable(today, [record], TODAY, Options(store=Path(), data_dir=Path()))
    assert (found is record) == reused


def test_an_older_record_with_the_observers_stands_beside_a_newer_one_without(
    plugins: Plugins,
) -> None:
    plain = make_trial(plugins)
    records = [
        Record(trial=replace(plain, observers=o), attempt=n, status=Status.OK, fingerprint=TODAY)
        for n, o in enumerate([[ITOP], []], start=1)
    ]
    wanted = replace(plain, observers=[ITOP])
    found = reusable(wanted, records, TODAY, Options(store=Path(), data_dir=Path()))
    assert found is records[0]


def test_the_code_of_an_observer_is_apart_from_that_of_the_trial(plugins: Plugins) -> None:
    plain = fingerprint(make_trial(plugins), plugins)
    watched = fingerprint(make_trial(plugins, ITOP, DEGREES), plugins)
    assert plain["code"] == watched["code"]
    assert plain["observers"] == {}
    assert list(watched["observers"]) == ["itop", "degrees"]
    assert agrees(watched, plain)
    assert not agrees(plain, watched)
    assert not agrees({**watched, "observers": {**watched["observers"], "itop": "old"}}, watched)
    del plain["observers"]  # of an older store
    assert agrees(plain, fingerprint(make_trial(plugins), plugins))


@pytest.mark.parametrize(("wanted", "goes_on"), [([ITOP], True), ([], False), ([DEGREES], False)])
def test_a_checkpoint_of_other_observers_is_refused(
    plugins: Plugins, tmp_path: Path, wanted: list[Any], goes_on: bool
) -> None:
    """It has not their state."""
    file, trial, meter = tmp_path / "c.npz", make_trial(plugins, ITOP), Meter()
    job = Job(trial=trial, folder=tmp_path, data_dir=tmp_path)
    counts: dict[str, Any] = {"dropped": [], "grown": [], "pruned": []}
    facts = {
        "position": {"epoch": 1, "start": 0, "step": 3, "losses": 0.0},
        "started": [], "epochs": [], "laps": {}, "counts": counts,
    }  # fmt: skip
    Checkpoints(job, meter).keep(facts, iter(()))
    (tmp_path / "checkpoint.npz").rename(file)
    again = replace(job, trial=replace(trial, observers=wanted), resume_from=file)
    found = Checkpoints(again, meter)
    assert (found.found is not None) == goes_on
    if found.found is not None:
        found.found.close()
    else:
        refused = found.settings["resumed"]["refused"]
        assert refused == "the checkpoint was made with other observers"


STEPPING = """
from dataclasses import dataclass
from typing import ClassVar
from sparsebench import hookimpl
from sparsebench.core.metric import Metric
from sparsebench.core.observer import Observer

@dataclass(frozen=True)
class Stepping(Observer):
    every: int = 5
    metrics: ClassVar = (Metric("stepped", kinds=("epoch",)),)

@dataclass(frozen=True)
class Silent:
    def run(self, work):
        raise RuntimeError

@hookimpl
def register_observers(register):
    register("stepping", Stepping)

@hookimpl
def register_trainers(register):
    register("silent", Silent)
"""


@pytest.mark.parametrize(
    ("trainer", "observer", "reason"),
    [
        ("sequential", "stepping", None),
        ("hogwild", "itop", None),
        ("hogwild", "stepping", "its workers stop only for a topology update"),
        ("silent", "itop", "trainer 'silent' shows its network to no observer"),
        ("kernel", "itop", "trainer 'kernel' shows its network to no observer"),
    ],
)
def test_a_trainer_that_cannot_show_its_network_is_found_before_the_trial(
    tmp_path: Path, trainer: str, observer: str, reason: str | None
) -> None:
    file = tmp_path / f"stepping_{tmp_path.name}.py"
    file.write_text(STEPPING)
    plugins = load_plugins([file])
    given = {"name": trainer, "kernel": "forward"} if trainer == "kernel" else trainer
    found = why_not_runnable(make_trial(plugins, observer, trainer=given), plugins)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == Status.UNSUPPORTED
        assert reason in found[1]
        assert "\n" not in found[1]
    assert why_not_runnable(make_trial(plugins, trainer=given), plugins) is None


@pytest.mark.parametrize(("trainer", "apart"), [("wassp", False), ("wasap", True)])
def test_workers_that_train_alone_have_no_network_to_show(
    plugins: Plugins, trainer: str, apart: bool
) -> None:
    observer = plugins.build("observer", ITOP)
    built = plugins.parameters("trainer", plugins.validate("trainer", trainer, "t"))
    alone = plugins.parameters(
        "trainer", plugins.validate("trainer", {"name": trainer, "local": 0.3}, "t")
    )
    together = plugins.parameters(
        "trainer", plugins.validate("trainer", {"name": trainer, "local": 0}, "t")
    )
    assert (built.hidden_from(observer) is not None) == apart
    assert alone.hidden_from(observer).endswith("set local = 0")
    assert together.hidden_from(observer) is None


def test_a_strangers_metric_per_epoch_from_one_file(tmp_path: Path) -> None:
    """The example of plugins/README.md, in a real trial: run, export, show; then reuse."""
    example = re.search(
        r"## register_observers.*?```python\n(.*?)```", README.read_text(), re.DOTALL
    )
    assert example is not None
    plugin = tmp_path / f"norms_{tmp_path.name}.py"
    plugin.write_text(example[1])
    suite = tmp_path / "watched.toml"
    suite.write_text(
        """
schema = 1
name = "watched"
[trial]
dataset = "wine"
model = { hidden = [8], activation = "relu" }
topology = { name = "set", epsilon = 3 }
backend = "scipy-csr"
observers = [{ name = "weight-norm", every = 3 }, "itop", "degrees"]
epochs = 3
batch_size = 16
threads = 1
"""
    )
    given: dict[str, Any] = {
        "store": tmp_path / "store", "plugins": [plugin], "allow_plugins": True, "audit": False,
        "progress": False,
    }  # fmt: skip
    run = sparsebench.run(suite, **given)
    (trial,) = run.trials().to_dict("records")
    epochs = run.epochs()
    assert trial["status"] == "ok"
    assert trial["weight_norm"] == epochs["weight_norm"].iloc[-1] > 0
    squares = epochs[["weight_norm_of_layer_1", "weight_norm_of_layer_2"]] ** 2
    assert squares.sum(axis=1).to_numpy() == pytest.approx(epochs["weight_norm"] ** 2)
    assert (epochs["weight_norm_highest"] >= epochs["weight_norm_of_layer_1"]).all()
    assert epochs["itop_rate"].is_monotonic_increasing
    assert trial["itop_rate"] == epochs["itop_rate"].iloc[-1]
    assert epochs["in_degree_histogram_1"].map(sum).tolist() == [8, 8, 8]
    assert trial["observe_seconds"] == pytest.approx(epochs["observe_seconds"].sum())
    record = json.loads(next((tmp_path / "store").glob("trials/*/*/*/outcome.json")).read_text())
    assert record["phases"]["observe"]["seconds"] > 0
    fewer = suite.read_text().replace('"itop", "degrees"', '"itop"')
    suite.write_text(fewer)
    again = sparsebench.run(suite, **given)
    assert again.trials()["itop_rate"].tolist() == [trial["itop_rate"]]
    assert len(list((tmp_path / "store").glob("trials/*/*/*/outcome.json"))) == 1
