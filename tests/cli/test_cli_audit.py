"""`show TRIAL` tells what the audit found and what disturbed the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from commands import command

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.store.record import Record
from sparsebench.store.store import Store


def test_a_trial_is_shown_with_its_audit_and_its_noise(folder: Path) -> None:
    part = {"name": "x"}
    trial = Trial(
        dataset=part, model=part, topology=part, optimizer=part, backend=part, trainer=part,
        epochs=1, batch_size=1, threads=1, seed=0, suite="s", axes={},
    )  # fmt: skip
    audit = {
        "claims": "truly sparse", "verdict": "contradicted", "flags": ["dense-work"],
        "why": "forward takes 20 times as long", "probe": {"time_growth": 20.5},
        "declared_bytes": None,
    }  # fmt: skip
    noise = {"steal_share": 0.25, "marks": ["steal", "load"], "swapped_pages": 0}
    store = Store(folder / ".sparsebench")
    for seed, found in enumerate(({"audit": audit, "noise": noise}, {"noise": {"marks": []}})):
        attempt = store.begin(replace(trial, seed=seed))
        store.finish(attempt, Record(trial=attempt.trial, attempt=1, status=Status.OK, **found))
    shown = command(folder, "show", trial.id, "--format", "md").stdout
    for row in (
        "audit verdict | contradicted", "audit flags | dense-work",
        "audit probe time_growth | 20.5",
        "noise marks | steal, load", "noise steal_share | 0.25",
    ):  # fmt: skip
        assert row in shown
    assert "declared_bytes" not in shown
    quiet = command(folder, "show", replace(trial, seed=1).id, "--format", "md").stdout
    assert "noise marks | none" in quiet
