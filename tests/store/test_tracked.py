"""Exports for tools that follow a project over time, held to models of their formats."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter, ValidationError
from test_benchmarks import record

from sparsebench.errors import NothingMatched
from sparsebench.store.export_formats import to_bencher, to_github_action_benchmark

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Entry(BaseModel):
    """Of customSmallerIsBetter and customBiggerIsBetter: the tool's README, "Custom" tools."""

    model_config = STRICT
    name: Annotated[str, Field(min_length=1)]
    unit: Annotated[str, Field(min_length=1)]
    value: float
    range: str | None = None
    extra: str | None = None


Entries = TypeAdapter(Annotated[list[Entry], Field(min_length=1)])


class Metric(BaseModel):
    model_config = STRICT
    value: float
    lower_value: float | None = None
    upper_value: float | None = None


class Bencher(RootModel[dict[str, dict[str, Metric]]]):
    """Bencher Metric Format, as its reference has it: names of up to 1024 characters, measures
    by slugs of up to 64."""

    root: dict[
        Annotated[str, Field(min_length=1, max_length=1024)],
        dict[Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)], Metric],
    ]


def run_of(*records: Any) -> Any:
    return SimpleNamespace(id="r1", records=list(records), manifest={})


MEASURES = ({"epoch_seconds": 1.0, "test_accuracy": 0.9, "stored_bytes": 12},
            {"epoch_seconds": 3.0, "test_accuracy": 0.8, "stored_bytes": 12})  # fmt: skip
RUN = run_of(*(record(seed, measures=dict(one)) for seed, one in enumerate(MEASURES)))


def entries(run: Any, better: Any) -> dict[str, Entry]:
    found = Entries.validate_json(to_github_action_benchmark(run, better))
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def test_smaller_and_bigger_are_lists_of_their_own() -> None:
    smaller = entries(RUN, "smaller")
    assert set(smaller) == {"demo[8-sequential] epoch_seconds", "demo[8-sequential] stored_bytes"}
    one = smaller["demo[8-sequential] epoch_seconds"]
    assert (one.value, one.unit, one.range) == (2.0, "s", "± 1.41421")
    assert one.extra == "mean of seeds 0, 1"
    (accuracy,) = entries(RUN, "bigger").values()
    assert accuracy.value == pytest.approx(0.85)


def test_bencher_has_the_spread_as_bounds() -> None:
    found = Bencher.model_validate_json(to_bencher(RUN)).root
    assert set(found) == {"demo[8-sequential]"}
    seconds = found["demo[8-sequential]"]["epoch-seconds"]
    assert seconds.lower_value == pytest.approx(2 - 2**0.5)
    assert seconds.upper_value == pytest.approx(2 + 2**0.5)
    assert found["demo[8-sequential]"]["stored-bytes"].lower_value == 12


def test_a_single_seed_has_no_spread() -> None:
    run = run_of(record(3, measures={"epoch_seconds": 2.0}))
    (one,) = entries(run, "smaller").values()
    assert (one.range, one.extra) == (None, "seed 3")
    assert Bencher.model_validate_json(to_bencher(run)).root["demo[8-sequential]"][
        "epoch-seconds"
    ] == Metric(value=2.0)


def test_what_failed_or_is_no_number_is_left_out() -> None:
    run = run_of(
        record(0, measures={"epoch_seconds": 2.0, "test_loss": float("nan")}),
        record(1, "diverged", measures={"epoch_seconds": 9.0}),
        record(2, "timeout", hidden=[9]),
    )
    (one,) = entries(run, "smaller").values()
    assert one.value == 2.0
    with pytest.raises(NothingMatched, match="run r1: no trial that ended well"):
        to_github_action_benchmark(run, "bigger")
    with pytest.raises(NothingMatched):
        to_bencher(run_of(record(2, "timeout")))


def test_text_of_strangers_is_one_line() -> None:
    run = run_of(record(0, hidden=["\x1b[31m\n<b>"], measures={"epoch_seconds": 2.0}))
    (name,) = json.loads(to_bencher(run))
    assert name == r"demo[\x1b[31m <b>-sequential]"


@pytest.mark.parametrize(
    "spoilt", [[], [{"name": "a", "value": 1.0}], [{"name": "a", "unit": "s", "value": "1"}]]
)
def test_the_model_refuses(spoilt: Any) -> None:
    with pytest.raises(ValidationError):
        Entries.validate_python(spoilt)
