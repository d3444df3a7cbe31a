"""The audit of a run: in processes of its own, once, and never in a trial's way."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import sparsebench
from sparsebench.analysis.audit_verdict import contradicts_or_unsure, judge
from sparsebench.core.audit.probe_evidence import Evidence, Point
from sparsebench.core.audit.probe_sizes import Sizes
from sparsebench.core.job import EVIDENCE, Job
from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.run import probe_jobs as auditing
from sparsebench.run.supervisor import Supervised

LIARS = Path(__file__).parent / "liars.py"


@pytest.fixture(scope="module")
def known():
    yield load_plugins([LIARS])
    sys.modules.pop("sparsebench_plugin_liars", None)


def trial(known, backend="liar", optimizer=None, dataset="wine", **given):
    parts = {
        "dataset": {"name": dataset},
        "model": {"name": "mlp", "hidden": [16]},
        "topology": {"name": "static", "density": 0.3, "allocation": "uniform"},
        "optimizer": optimizer or {"name": "sgd", "momentum": 0.9},
        "trainer": {"name": "sequential"},
        "backend": backend if isinstance(backend, dict) else {"name": backend},
    }
    parts |= {kind: given.pop(kind) for kind in ("model", "topology") if kind in given}
    valid = {kind: known.validate(kind, value, kind) for kind, value in parts.items()}
    return Trial(**{**valid, "epochs": 1, "batch_size": 16, "threads": 1, "seed": 0, "suite": "x",
                    "axes": {}, **given})  # fmt: skip


def test_trials_that_differ_in_magnitudes_share_a_probe(known):
    alike = [
        trial(known),
        trial(known, seed=3, epochs=9),
        trial(known, optimizer={"name": "sgd", "momentum": 0.5, "learning_rate": 0.3}),
        trial(known, model={"name": "mlp", "hidden": [500]}),
    ]
    apart = [
        trial(known, threads=2),
        trial(known, batch_size=1),
        trial(known, model={"name": "mlp", "hidden": [3000, 3000]}),
        trial(known, topology={"name": "static", "density": 0.01}),
        trial(known, backend={"name": "liar", "how": "KeepsDense"}),
        trial(known, optimizer={"name": "adam"}),
    ]
    assert len({auditing.probe_key(one, known) for one in alike}) == 1
    assert len({auditing.method_key(one, known) for one in alike}) == 1
    assert len(auditing.probe_jobs([*alike, *apart], known)) == 2 * 7
    other = trial(known, topology={"name": "set", "density": 0.3, "allocation": "uniform"})
    assert auditing.probe_key(other, known) == auditing.probe_key(alike[0], known)
    assert len(auditing.probe_jobs([alike[0], other], known)) == 3


def test_no_topology_is_probed_that_is_dense_by_design_or_whose_backend_simulates(known):
    dense = trial(known, topology={"name": "dense"})
    for one in (dense, trial(known, "dense-mask")):
        assert [*auditing.probe_jobs([one], known)] == [auditing.probe_key(one, known)]


def test_layers_fit_the_memory_limit(known):
    wide = {"name": "mlp", "hidden": [5000, 5000]}

    def side(limit, backend="liar"):
        probe = probe_for(known, trial(known, backend, memory_limit=limit, model=wide))
        return probe.sizes.side if probe.sizes else None

    assert [side(mib * 2**20) for mib in (280, 330, 500, 1024)] == [None, 1024, 2048, 4096]
    assert side(1024 * 2**20, "dense-mask") == 2048


def probe_for(known, one):
    return auditing.probe_jobs([one], known)[auditing.probe_key(one, known)]


def probe_of(known, tmp_path, one):
    probe = probe_for(known, one)
    plain = Job(trial=one, folder=tmp_path / "probe", data_dir=tmp_path, plugin_files=(LIARS,))
    job = auditing.audit_job(probe, plain)
    assert Job.from_json(job.to_json()) == job
    handle = Supervised(job)
    while (outcome := handle.poll()) is None:
        time.sleep(0.02)
    return outcome, auditing.read_evidence(job.folder / EVIDENCE)


def test_a_process_leaves_evidence_of_a_hidden_dense_matrix(known, tmp_path):
    one = trial(known, backend={"name": "liar", "how": "KeepsDense"})
    outcome, evidence = probe_of(known, tmp_path, one)
    assert outcome["status"] == "ok", outcome
    audit = auditing.audit_of(one, outcome, {auditing.probe_key(one, known): evidence}, known)
    assert (audit["claims"], audit["verdict"]) == ("truly sparse", "contradicted")
    assert "dense-storage" in audit["flags"]
    assert (audit["probe"]["side"], audit["probe"]["batch"]) == (1024, 16)
    assert "6.2 % dense (65,536 connections), batches of 16" in audit["why"]


def test_a_probe_that_fails_cannot_tell_and_says_why(known, tmp_path):
    one = trial(known, backend="raises")
    outcome, evidence = probe_of(known, tmp_path, one)
    assert evidence is None
    why = auditing.why_no_evidence(outcome)
    found = {auditing.probe_key(one, known): why}
    audit = auditing.audit_of(one, {"status": "ok"}, found, known)
    assert audit["verdict"] == "cannot tell"
    assert audit["why"].startswith("no probe: the probe ended error RuntimeError not that large")


def test_a_trial_that_never_ran_has_no_audit(known):
    assert auditing.audit_of(trial(known), {"status": "skipped"}, {}, known) == {}


def test_evidence_is_kept_by_all_that_decides_it(known, monkeypatch):
    today = {"numpy": "2"}
    probe = probe_for(known, trial(known))
    other = replace(probe, trial=trial(known, threads=2))
    files = {
        auditing.kept_file(probe, known, today),
        auditing.kept_file(probe, known, {"numpy": "3"}),
        auditing.kept_file(other, known, today),
    }
    with monkeypatch.context() as edited:
        edited.setattr(auditing, "code_of", lambda trial, plugins, kinds: "of edited sources")
        files.add(auditing.kept_file(probe, known, today))
    monkeypatch.setenv("SPARSEBENCH_MACHINE", "another")
    files.add(auditing.kept_file(probe, known, today))
    assert len(files) == 5
    seed = replace(probe, trial=trial(known, seed=5, dataset="digits"))
    assert auditing.kept_file(seed, known, today) in files


def test_the_calmer_of_two_probes_counts(known):
    """A layer that was slow, or took memory, in one of them only."""
    sizes = Sizes(1, 1)

    def found(seconds, peak):
        thin = [
            Point(shape, 100, 50, {"forward": 10}, {"forward": 1e-3})
            for shape in ((64, 8128), (8128, 64))
        ]
        square = Point((4096, 4096), 100, 50, {"forward": peak}, {"forward": seconds})
        return Evidence(True, sizes, (*thin, square), 1.0)

    slow, large = found(20e-3, 10), found(1e-3, 2**30)
    assert judge(slow).flags == ("dense-work",)
    assert judge(large).flags == ("dense-storage",)
    assert contradicts_or_unsure(slow)
    assert contradicts_or_unsure(large)
    assert judge(slow.smaller_of_each(large)).flags == ()
    assert judge(slow.smaller_of_each(slow)).flags == ("dense-work",)
    assert not contradicts_or_unsure(slow.smaller_of_each(large))
    assert not contradicts_or_unsure(replace(slow, truly_sparse=False))


def test_a_torn_file_is_no_evidence(tmp_path):
    torn = tmp_path / "evidence.json"
    for text in ("", "{", "[]", '{"points": []}'):
        torn.write_text(text)
        assert auditing.read_evidence(torn) is None


SUITE = """
schema = 1
name = "lies"
title = "Lies"
[trial]
dataset = "wine"
model = { hidden = [16], activation = "relu" }
topology = { name = "static", density = 0.6 }
optimizer = { name = "sgd" }
backend = { name = "liar", how = "DenseForAMoment" }
epochs = 1
batch_size = 16
threads = 1
memory_limit = "500 MiB"
"""


def test_a_run_records_the_contradiction_and_a_second_one_probes_nothing(tmp_path, monkeypatch):
    suite = tmp_path / "lies.toml"
    suite.write_text(SUITE)
    kept = tmp_path / "cache" / "kept.json"
    monkeypatch.setattr(auditing, "kept_file", lambda *given: kept)

    def run(**given):
        return sparsebench.run(
            suite, store=tmp_path / "store", plugins=[LIARS], predict=False, rerun="all", **given
        )

    first = run(audit=True)
    (record,) = first.records
    assert record.audit["verdict"] == "contradicted", record.audit
    assert "backward" in record.audit["why"]
    (row,) = first.trials().to_dict("records")
    assert (row["truly_sparse"], row["audit"]) == (True, "contradicted")
    text = first.report()
    assert "liar ‡" in text
    assert "| **contradicted** | dense-storage" in text

    assert not kept.exists(), "what would accuse is looked at again in the next run"
    folder = first.stored.path / "audit" / "0"
    once, twice = (auditing.read_evidence(where / EVIDENCE) for where in (folder, folder / "again"))
    auditing.keep(kept, once.smaller_of_each(twice))  # as a run keeps what acquits
    again = run()
    assert again.records[0].audit["probe"] == record.audit["probe"]
    assert not (again.stored.path / "audit").exists()

    kept.unlink()
    unprobed = run()
    assert unprobed.records[0].audit["verdict"] == "cannot tell"
    assert "not requested" in unprobed.records[0].audit["why"]
