"""`show TRIAL` tells what the audit found and what disturbed the machine."""

from __future__ import annotations

from sparsebench.cli.show import _facts
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.store.record import Record


def test_a_trial_is_shown_with_its_audit_and_its_noise():
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
    record = Record(trial=trial, attempt=1, status=Status.OK, audit=audit, noise=noise)
    facts = {row["what"]: row["value"] for row in _facts(record, 1)}
    assert facts["audit verdict"] == "contradicted"
    assert facts["audit flags"] == "dense-work"
    assert facts["audit probe time_growth"] == 20.5
    assert "audit declared_bytes" not in facts
    assert facts["noise marks"] == "steal, load"
    assert facts["noise steal_share"] == 0.25
    quiet = Record(trial=trial, attempt=1, status=Status.OK, noise={"marks": []})
    assert {"what": "noise marks", "value": "none"} in _facts(quiet, 1)
