"""Two sides in turn: what repeated rounds may be taken for, and what interleaving is worth.

Times are fabricated as a shared machine makes them: its speed wanders, and each trial has a
little noise of its own. Both sides of a pair run right after each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from binomial import at_most
from records import cell_trial as trial
from records import compared, stored
from records import measured as record

from sparsebench.analysis.ab_rounds import ab_folder_of, compare_rounds, gates_of_rounds, sides_of
from sparsebench.analysis.comparison import Comparison, Finding, compare
from sparsebench.analysis.comparison_sides import Cell, Side
from sparsebench.analysis.gates import default_gates
from sparsebench.errors import NothingMatched, StoreError
from sparsebench.metrics import BUILT_IN
from sparsebench.report.comparison import as_text, to_json, verdict_line
from sparsebench.run.ab.turns import Planned, in_common, order
from sparsebench.store.record import Record
from sparsebench.store.schemas import TURNS

SHUFFLES = 100
SIZES = (100, 300)


class Machine:
    """Its logarithmic speed is a slow random walk around 0, with a standard deviation of 20 %."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.mood = rng, 0.2 * rng.normal()

    def seconds(self, factor: float) -> float:
        self.mood = 0.98 * self.mood + 0.2 * math.sqrt(1 - 0.98**2) * self.rng.normal()
        return float(factor * math.exp(self.mood + 0.05 * self.rng.normal()))


def outcome(machine: Machine, size: int, seed: int, time: float, accuracy: float = 0.0) -> Record:
    own = np.random.default_rng([seed, size]).normal()
    measures = {
        "epoch_seconds": machine.seconds(time),
        "test_accuracy": 0.95 + accuracy + 0.003 * own,
        "net_peak_bytes": 45 * 2**20 + 4096 * int(machine.rng.integers(0, 40)),
        "stored_bytes": 12 * size,
    }
    return record(trial(size=size, seed=seed), measures=measures, started=str(machine.mood))


def in_turn(
    rng: np.random.Generator, slower: float = 1.0, rounds: int = 3, seeds: Sequence[int] = range(5)
) -> Comparison:
    """As `ab` does: the same order of trials and sides."""
    machine = Machine(rng)
    sides: list[dict[str, Cell]] = [{}, {}]
    trials = [Planned(f"{s}", s, f"{size}") for size in SIZES for s in seeds]
    for round, one, head_first in order(trials, rounds):
        for which in (1, 0) if head_first else (0, 1):
            found = outcome(machine, int(one.label), one.seed, slower if which else 1.0)
            sides[which].setdefault(found.trial.cell, Cell()).put(found, round)
    return compare(Side(sides[0]), Side(sides[1]), gates_of_rounds())


def one_after_the_other(rng: np.random.Generator, slower: float) -> Comparison:
    """Two runs, hours apart: the same trials, and the machine in another mood for each."""
    runs = []
    for factor in (1.0, slower):
        machine = Machine(rng)
        runs.append([outcome(machine, size, s, factor) for size in SIZES for s in range(5)])
    return compared(*runs, default_gates().failing_on_time())


def times(comparison: Comparison) -> list[Finding]:
    return [one for one in comparison.findings if one.metric == "epoch_seconds"]


def test_identical_sides_are_seldom_called_worse() -> None:
    found = [in_turn(np.random.default_rng([1, shuffle])) for shuffle in range(SHUFFLES)]
    assert at_most(sum(one.exit_code == 3 for one in found), SHUFFLES, 0.05)
    said = [str(one.verdict) for comparison in found for one in times(comparison)]
    assert said.count("ok") > 0.9 * len(said)


def test_identical_sides_keep_to_alpha_without_a_threshold() -> None:
    """The test alone, on pairs of rounds: no threshold helps."""
    low = 0
    for shuffle in range(SHUFFLES):
        comparison = in_turn(np.random.default_rng([2, shuffle]))
        ps = [one.p_holm for one in times(comparison) if one.p_holm is not None]
        low += min(ps) < 0.05
    assert at_most(low, SHUFFLES, 0.05)
    assert low > 0


@pytest.mark.parametrize("shuffle", range(40))
def test_thirty_percent_slower_is_found_in_turn(shuffle: int) -> None:
    found = in_turn(np.random.default_rng([3, shuffle]), slower=1.3)
    assert [str(one.verdict) for one in times(found)] == ["worse"] * 2
    assert found.exit_code == 3


def test_two_runs_get_wrong_what_turns_get_right() -> None:
    """On such a machine, identical code fails a gate on time, and 30 % more goes unnoticed."""
    missed = alarms = 0
    for shuffle in range(40):
        rng = np.random.default_rng([4, shuffle])
        missed += one_after_the_other(rng, 1.3).exit_code != 3
        alarms += one_after_the_other(rng, 1.0).exit_code == 3
    assert missed > 4
    assert alarms > 0


def test_rounds_are_no_seeds_of_accuracy() -> None:
    """Three seeds in five rounds are 15 pairs of times, and three values of accuracy."""
    found = in_turn(np.random.default_rng(5), rounds=5, seeds=range(3))
    by_metric = {one.metric: one for one in found.findings}
    assert (by_metric["epoch_seconds"].n, by_metric["epoch_seconds"].replicates) == (15, "pairs")
    assert (by_metric["net_peak_bytes"].n, by_metric["stored_bytes"].n) == (15, 15)
    accuracy = by_metric["test_accuracy"]
    assert (accuracy.n, accuracy.replicates) == (3, "seeds")


def cell(values: dict[tuple[int, int], float | str], name: str = "test_accuracy") -> Side:
    found = Cell()
    for (seed, round), value in values.items():
        one = trial(seed=seed)
        if isinstance(value, str):
            found.put(record(one, value), round)
        else:
            found.put(record(one, measures={name: value}), round)
    return Side({trial().cell: found})


def test_accuracy_is_the_mean_over_rounds_of_its_seed() -> None:
    base = cell({(s, r): 0.9 + 0.01 * s + (0.02 if r else 0.0) for s in range(5) for r in (0, 1)})
    (kept,) = base.cells.values()
    assert kept.values(BUILT_IN["test_accuracy"]) == pytest.approx(
        {s: 0.91 + 0.01 * s for s in range(5)}
    )


def test_only_complete_pairs_count() -> None:
    """HEAD fails in one round of ten: its partner's times are left out, and the report says so."""
    base: dict[tuple[int, int], float | str] = {(s, r): 1.0 for s in range(5) for r in (0, 1)}
    head = dict.fromkeys(base, 1.01) | {(3, 1): "timeout"}
    sides = cell(base, "epoch_seconds"), cell(head, "epoch_seconds")
    found = compare(*sides, gates_of_rounds())
    status, seconds = found.findings
    assert str(status.verdict) == "newly failing"
    assert (seconds.n, str(seconds.verdict)) == (9, "ok")


def test_a_few_pairs_decide_nothing() -> None:
    few = {(0, r): 1.0 + r for r in range(4)}
    other = {(0, r): 1.5 + r for r in range(4)}
    found = compare(cell(few, "epoch_seconds"), cell(other, "epoch_seconds"), gates_of_rounds())
    assert found.findings[0].reason == "4 of at least 5 pairs"
    assert "4 of at least 5 pairs" in as_text(found)


def test_json_names_the_seed_of_each_value() -> None:
    found = to_json(in_turn(np.random.default_rng(6), rounds=2, seeds=range(3)))
    one = next(one for one in found["findings"] if one["metric"] == "epoch_seconds")
    assert one["base"]["seeds"] == [0, 0, 1, 1, 2, 2]
    assert (one["n"], one["paired"]) == (6, True)


def test_who_goes_first_alternates() -> None:
    trials = [Planned(str(s), s, "") for s in range(3)]
    turns = list(order(trials, 4))
    assert len(turns) == 12
    for seed in range(3):
        first = [head for _, one, head in turns if one.seed == seed]
        assert first.count(True) == first.count(False) == 2
    assert [head for round, _, head in turns if round == 0] == [False, True, False]


def test_trials_in_common_are_by_id() -> None:
    a, b, c = (Planned(word, 0, "") for word in "abc")
    assert in_common([a, b], [b, c]) == [b]
    with pytest.raises(NothingMatched, match="have none in common"):
        in_common([a], [b, c])


# --- what is left in the folder ------------------------------------------------------


HEADER = {"ab": 1, "base": "git:main", "head": "git:HEAD", "rounds": 1}
TURN = {"side": "base", "round": 0, "trial": "0" * 16, "run": "r", "exit_code": 0}


def journal(folder: Path, *lines: object, tail: str = "") -> Path:
    text = "".join(json.dumps(line) + "\n" for line in lines) + tail
    (folder / TURNS).write_text(text)
    return folder


def test_half_a_pair_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(NothingMatched, match="no trial has run on both sides"):
        sides_of(journal(tmp_path, HEADER, TURN, tail='{"side": "he'))


def stopped(folder: Path, header: dict[str, object]) -> Comparison:
    """After three of the six pairs of three trials in two rounds."""
    turns = []
    for side in ("base", "head"):
        for seed in range(3):
            one = record(trial(seed=seed), measures={"stored_bytes": 8}, started=side)
            run = stored(folder / side, [one]).runs()[-1]
            turns.append({"side": side, "round": 0, "trial": one.trial.id, "run": run})
    journal(folder, header, *turns)
    return compare_rounds(*sides_of(folder), gates_of_rounds())


@pytest.mark.parametrize("header", [{**HEADER, "rounds": 2}, {**HEADER, "pairs": 6}])
def test_a_stopped_comparison_says_how_many_pairs_it_rests_on(
    tmp_path: Path, header: dict[str, object]
) -> None:
    """The older journals name only the rounds."""
    found = stopped(tmp_path, header)
    assert found.exit_code == 0
    assert verdict_line(found) == "PASSED on 3 of 6 pairs: no gate failed"
    assert found.notes[0].startswith("3 of 6 pairs in turn: ")
    assert to_json(found)["pairs"] == {"complete": 3, "planned": 6}
    strictly = replace(found, gates=replace(found.gates, strict=True))
    assert strictly.exit_code == 6
    assert verdict_line(strictly) == (
        "INCONCLUSIVE on 3 of 6 pairs: not all pairs ran and the comparison is strict"
    )


def test_a_complete_comparison_does_not_mention_pairs_left(tmp_path: Path) -> None:
    found = stopped(tmp_path, {**HEADER, "pairs": 3})
    assert verdict_line(found) == "PASSED: no gate failed"
    assert found.notes[0].startswith("3 pairs in turn: ")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "not a journal"),
        ([TURN], "ab: missing"),
        ([{**HEADER, "ab": 2}], "schema 2; this sparsebench reads 1"),
        ([HEADER, {**TURN, "run": "../x"}], "run: expected a run's id"),
        ([HEADER, {**TURN, "side": "other"}], "unknown side 'other'"),
        ([HEADER, [1]], "not a journal"),
    ],
)
def test_a_spoilt_journal_is_one_line(tmp_path: Path, lines: list[object], complaint: str) -> None:
    with pytest.raises(StoreError, match=complaint):
        sides_of(journal(tmp_path, *lines))


def test_halves_are_those_of_one_folder(tmp_path: Path) -> None:
    journal(tmp_path, HEADER)
    assert ab_folder_of(tmp_path / "base", tmp_path / "head") == tmp_path
    assert ab_folder_of(tmp_path / "head", tmp_path / "base") is None
    assert ab_folder_of(tmp_path / "base", tmp_path / "base") is None
    assert ab_folder_of(tmp_path / "x/base", tmp_path / "x/head") is None


def test_a_slower_time_fails_in_turn() -> None:
    gate = gates_of_rounds().by_metric["epoch_seconds"]
    assert (gate.action, gate.threshold) == ("fail", 0.10)
    assert default_gates().by_metric["epoch_seconds"].action == "warn"
