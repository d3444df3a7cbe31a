"""Compares the two stores that the command `ab` has filled: it runs each trial on two
installations in turn, for several rounds (see `run.ab.turns`).

A replicate is a seed in a round. Only replicates that both sides have run count, so an interrupted
`ab` can be compared too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsebench.analysis.comparison import Comparison, compare
from sparsebench.analysis.comparison_sides import Cell, Pairs, Side, facts_of
from sparsebench.analysis.gates import Gates, default_gates
from sparsebench.errors import NothingMatched, StoreError
from sparsebench.metrics import of_run
from sparsebench.store.safe_files import OBJECT, parse, read_lines, reading
from sparsebench.store.schemas import AB_HEADER, TURN, TURNS, TURNS_SCHEMA
from sparsebench.store.store import Store

TIME_THRESHOLD = 0.10
"""How much longer a time may get, as a fraction. It is lower than for two separate runs, because
two trials in turn meet the same slow drift of the machine."""


def gates_of_rounds() -> Gates:
    """The default gates, except that a longer time fails instead of warning."""
    return default_gates().failing_on_time(threshold=TIME_THRESHOLD)


def ab_folder_of(base: Path, head: Path) -> Path | None:
    """The folder that an `ab` wrote, if these are the two stores in it, `base` and `head`; else
    None."""
    folder = base.absolute().parent
    same = (base.absolute(), head.absolute()) == (folder / "base", folder / "head")
    return folder if same and (folder / TURNS).is_file() else None


def compare_rounds(base: Side, head: Side, gates: Gates) -> Comparison:
    """Compare the two sides that `sides_of` returns, with a note on what a replicate is."""
    found = compare(base, head, gates)
    note = (
        f"{head.pairs} in turn: time and memory by pair of seed and round, accuracy by "
        "seed over its rounds"
    )
    return replace(found, notes=[note, *found.notes])


def sides_of(folder: Path) -> tuple[Side, Side]:
    """The two sides in the folder of an `ab`. Raises NothingMatched if no pair is complete, and
    StoreError if the journal cannot be read."""
    header, turns = _journal(folder / TURNS)
    base, head = (
        {(turn["trial"], turn["round"]): turn["run"] for turn in turns if turn["side"] == side}
        for side in ("base", "head")
    )
    pairs = [key for key in head if key in base]
    if not pairs:
        raise NothingMatched(f"{folder}: no trial has run on both sides")
    trials = {turn["trial"] for turn in turns}
    planned = header.get("pairs", header.get("rounds", 1) * len(trials))
    sides = (
        _side(Store(folder / side), {key: runs[key] for key in pairs}, header[side])
        for side, runs in (("base", base), ("head", head))
    )
    ours, theirs = (replace(side, pairs=Pairs(len(pairs), planned)) for side in sides)
    return ours, theirs


def _side(store: Store, runs: Mapping[tuple[str, int], str], name: str) -> Side:
    cells: dict[str, Cell] = {}
    manifests: list[Mapping[str, Any]] = [{}]
    records = []
    for (trial, round), run_id in runs.items():
        run = store.run(run_id)
        manifests.append(run.manifest)
        record = next((one for one in run.records if one.trial.id == trial), None)
        if record is None:
            raise StoreError(f"run {run_id} has no record of trial {trial}")
        records.append(record)
        cells.setdefault(record.trial.cell, Cell()).put(record, round)
    facts = facts_of(manifests[-1], records, run=name, store=str(store.path))
    return Side(cells, facts=facts, declared=of_run(*manifests))


def _journal(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header and the turns in the journal; an incomplete last line is ignored."""
    lines, damaged, _ = read_lines(file, "/", OBJECT)
    with reading(file):
        if not lines or damaged:
            raise ValueError("it is not a journal of `sparsebench ab`")
        header, *turns = (
            parse(json.dumps(line).encode(), TURN if number else AB_HEADER)
            for number, line in enumerate(lines)
        )
        if header["ab"] != TURNS_SCHEMA:
            raise StoreError(
                f"{file}: schema {header['ab']}; this sparsebench reads {TURNS_SCHEMA}"
            )
    return header, turns
