"""What `ab` left in a folder, as two sides whose replicates are pairs of seed and round.

Only pairs count of which both sides have run: an interrupted `ab` is compared as far as it came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsebench.analysis.comparison import Comparison, compare
from sparsebench.analysis.formats import plural
from sparsebench.analysis.gates import Gates, default_gates
from sparsebench.analysis.sides import Cell, Side
from sparsebench.errors import NothingMatched, StoreError
from sparsebench.metrics import of_run
from sparsebench.store.json_files import OBJECT, parse, read_lines, reading
from sparsebench.store.models import AB_HEADER, TURN
from sparsebench.store.names import TURNS, TURNS_SCHEMA
from sparsebench.store.record import Record
from sparsebench.store.store import Store

TIME_THRESHOLD = 0.10
"""By which a time may get worse. Lower than between two runs: pairs in turn cancel what makes
one moment slower than another."""


def gates_of_rounds() -> Gates:
    """The default gates, but that a slower time fails."""
    gates = default_gates().failing_on_time()
    times = [replace(gate, threshold=TIME_THRESHOLD) for gate in gates if gate.metric.is_time]
    return gates.with_gates(*times)


def folder_of_halves(base: Path, head: Path) -> Path | None:
    """The folder of an `ab`, if the two are its stores, BASE and HEAD."""
    folder = base.absolute().parent
    halves = (folder / "base", folder / "head")
    same = (base.absolute(), head.absolute()) == halves
    return folder if same and (folder / TURNS).is_file() else None


def compare_rounds(base: Side, head: Side, gates: Gates) -> Comparison:
    """Of the two sides of a folder, as `sides_of` has them."""
    found = compare(base, head, gates)
    counts = [len({*c.ok, *c.failed, *c.not_run}) for c in head.cells.values()]
    pairs = plural(sum(counts), "pair")
    note = (
        f"{pairs} in turn: time and memory by pair of seed and round, accuracy by seed over its "
        "rounds"
    )
    return replace(found, notes=[note, *found.notes])


def sides_of(folder: Path) -> tuple[Side, Side]:
    """NothingMatched if no pair is complete; StoreError for what cannot be read."""
    header, turns = _journal(folder / TURNS)
    runs = {side: _runs(turns, side) for side in ("base", "head")}
    pairs = [key for key in runs["head"] if key in runs["base"]]
    if not pairs:
        raise NothingMatched(f"{folder}: no trial has run on both sides")
    base, head = (
        _side(Store(folder / side), {key: runs[side][key] for key in pairs}, str(header[side]))
        for side in ("base", "head")
    )
    return base, head


def _runs(turns: list[dict[str, Any]], side: str) -> dict[tuple[str, int], str]:
    return {(turn["trial"], turn["round"]): turn["run"] for turn in turns if turn["side"] == side}


def _side(store: Store, runs: Mapping[tuple[str, int], str], told: str) -> Side:
    cells: dict[str, Cell] = {}
    manifests = []
    machines, commit, suite = set(), "", ""
    for (trial, round), run_id in runs.items():
        run = store.run(run_id)
        manifests.append(run.manifest)
        record = _of(run.records, trial, run_id)
        cells.setdefault(record.trial.cell, Cell()).put(record, round)
        machines.add(str(record.machine.get("id", "")))
        git = run.manifest.get("git") or {}
        commit = str(git.get("commit", "")) + ("+" if git.get("dirty") else "")
        suite = str(run.manifest.get("suite", ""))
    facts = {
        "run": told, "store": str(store.path), "suite": suite,
        "machines": sorted(machines - {""}), "commit": commit,
    }  # fmt: skip
    return Side(cells, facts=facts, declared=of_run(*manifests))


def _of(records: list[Record], trial: str, run: str) -> Record:
    for record in records:
        if record.trial.id == trial:
            return record
    raise StoreError(f"run {run} has no record of trial {trial}")


def _journal(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header and the turns; a torn last line is passed over."""
    lines, damaged, _ = read_lines(file, "/", OBJECT)
    with reading(file):
        if not lines or damaged:
            raise ValueError("it is no journal of `sparsebench ab`")
        header, *turns = (
            parse(json.dumps(line).encode(), TURN if number else AB_HEADER)
            for number, line in enumerate(lines)
        )
        if header["ab"] != TURNS_SCHEMA:
            raise StoreError(
                f"{file}: schema {header['ab']}; this sparsebench reads {TURNS_SCHEMA}"
            )
    return header, turns
