"""What a trial is made of is the content of its data, wherever it lies and whenever it changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pytest

from sparsebench.analysis.trial_settings import settings
from sparsebench.core.trial import Trial
from sparsebench.registry import Location, Plugins, locations
from sparsebench.run.options import Options
from sparsebench.run.session import run_trials
from sparsebench.suite.suite import Suite
from sparsebench.suite.trial_builder import Builder

TABLE = "a,b,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(12))

Made = Callable[..., Trial]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "d.csv"
    file.write_text(TABLE)
    return file


@pytest.fixture
def made(odd: Plugins, suite: Suite, tmp_path: Path) -> Made:
    """A trial of a suite on a file: made("fine", path, seed=1)."""

    def make(trainer: Any, path: Path, target: str = "y", **given: Any) -> Trial:
        parts = dict.fromkeys(("model", "topology", "optimizer", "backend"), "odd")
        raw = {
            "dataset": {"name": "file", "path": str(path), "target": target},
            "trainer": trainer, "epochs": 2, "batch_size": 4, "threads": 1, **parts, **given,
        }  # fmt: skip
        return Builder(suite, odd, tmp_path).trial(raw, {})

    return make


def test_a_trial_of_a_file_that_changed_is_an_error_and_never_reused(
    made: Made, odd: Plugins, suite: Suite, options: Options, table: Path
) -> None:
    """The first trial of a sweep edits the file, after it has loaded it."""
    trials = [made({"name": "edits", "file": str(table)}, table), made("fine", table, seed=1)]
    edits, late = run_trials(suite, trials, odd, options).records
    assert edits.status == "ok"
    assert (late.status, late.cause) == ("error", "DataChanged")
    then = trials[1].data["sha256"][:12]
    assert late.detail.startswith(
        f"data set 'file' changed since the trial was planned: sha256 {then} then, sha256 "
    )
    assert "\n" not in late.detail
    table.write_text(TABLE)
    again = run_trials(suite, trials, odd, options)
    assert (again.reused, again.records[1].status) == (1, "ok")
    assert again.records[1].trial.id == late.trial.id
    assert run_trials(suite, trials, odd, options).reused == 2


def test_a_trial_of_the_same_bytes_elsewhere_is_the_same(
    made: Made, odd: Plugins, suite: Suite, options: Options, table: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved" / "other name.csv"
    moved.parent.mkdir()
    shutil.copy(table, moved)
    here, there = made("fine", table), made("fine", moved)
    assert here.dataset != there.dataset
    assert (here.id, here.cell) == (there.id, there.cell)
    assert made("fine", table, target="a").id != here.id
    run_trials(suite, [here], odd, options)
    assert run_trials(suite, [there], odd, options).reused == 1
    moved.write_text(TABLE + "1,2,0\n")
    other = made("fine", moved)
    assert other.id != here.id
    # for people the file's name tells two contents apart, and not two places of one content
    assert settings([here, other]) == (["dataset"], [table.stem, "other name"])
    assert settings([here, there]) == ([], ["", ""])


def test_a_place_is_left_out_only_where_the_content_is_known(made: Made, table: Path) -> None:
    known = made("fine", table)
    assert known.locations == ["path", "label", "target_file"]
    assert "path" not in known.spec()["dataset"]
    assert "path" in replace(known, data={}).spec()["dataset"]
    old = {key: value for key, value in known.to_json().items() if key != "locations"}
    assert Trial.from_json(old).id == replace(known, locations=[]).id != known.id
    assert Trial.from_json(known.to_json()).id == known.id


@dataclass(frozen=True)
class TwoFiles:
    images: Annotated[str, Location()]
    labels: Annotated[str | None, Location()] = None
    target: str = "y"


def test_any_data_set_may_mark_its_places(made: Made, odd: Plugins, table: Path) -> None:
    assert locations(TwoFiles) == ["images", "labels"]
    wine = replace(made("fine", table), dataset={"name": "wine"}, locations=[])
    assert wine.spec()["dataset"] == {"name": "wine"}
