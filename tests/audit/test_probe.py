"""The probe finds what is dense, whatever a backend says; on a machine that does other things."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from liars import Liar, ThroughLiar

from sparsebench.analysis.audit_verdict import DENSE_STORAGE, DENSE_WORK, UNDECLARED, judge
from sparsebench.core.audit import probe as probe_module
from sparsebench.core.audit.network_probe import NetworkSubject
from sparsebench.core.audit.probe import probe, probe_all
from sparsebench.core.audit.probe_evidence import Evidence
from sparsebench.core.audit.probe_sizes import Sizes
from sparsebench.core.trial import Trial
from sparsebench.core.worker import memory
from sparsebench.core.worker.attempt import assemble
from sparsebench.core.worker.attempt import build as build_parts
from sparsebench.core.worker.meter import Meter
from sparsebench.discovery import load_plugins

pytestmark = pytest.mark.skipif(
    not (memory.HAS_PROC and memory.reset_peak()), reason="needs a high-water mark that resets"
)

SIZES = Sizes(side=1024, batch=16)
"""A dense float32 matrix of the square layer takes 4 MiB."""

TIMED = Sizes(side=2048, batch=32)
"""Long enough for what is found by its time alone."""

USUAL = Sizes(side=1024, batch=64, density=2.0**-5)
"""A hidden layer of the papers' networks."""


@pytest.fixture(scope="module")
def optimizer(build):
    return build("optimizer", {"name": "sgd", "momentum": 0.9})


@pytest.fixture
def in_a_hurry(monkeypatch):
    """Calls are timed once or twice: for what is found by memory."""
    monkeypatch.setattr(probe_module, "PATIENCE", 0.0)


@cache
def judged(backend, optimizer, sizes=SIZES):
    return judge(probe(backend, optimizer, sizes))


@pytest.mark.parametrize("name", ["numba-csr", "scipy-csr"])
def test_truly_sparse_backends_are_not_flagged(build, optimizer, name):
    backend = build("backend", name)
    evidence = probe(backend, optimizer, SIZES)
    if judge(evidence).flags:  # of two probes the smaller_of_each counts, as in a run
        evidence = evidence.smaller_of_each(probe(backend, optimizer, SIZES))
    found = judge(evidence)
    assert found.flags == (), found.why
    assert found.sure, found.why


def test_a_dense_mask_is_found_out_by_its_memory(build, optimizer, in_a_hurry):
    found = judged(build("backend", "dense-mask"), optimizer)
    assert DENSE_STORAGE in found.flags, found.why


def test_a_dense_mask_is_found_out_by_both(build, optimizer):
    found = judged(build("backend", "dense-mask"), optimizer, TIMED)
    assert set(found.flags) == {DENSE_STORAGE, DENSE_WORK}, found.why
    assert "16.0 bytes more for each entry of K D" in found.why


@pytest.mark.parametrize(
    ("how", "flag", "call"),
    [
        ("KeepsDense", DENSE_STORAGE, ""),
        ("DenseForAMoment", DENSE_STORAGE, ""),
        ("DenseChange", DENSE_STORAGE, "change"),
        ("DenseWeights", DENSE_STORAGE, "weights, state"),
        ("Hoards", UNDECLARED, "holds 24"),
    ],
)
def test_a_liar_is_found_out(optimizer, in_a_hurry, how, flag, call):
    found = judged(Liar(how), optimizer, TIMED if how == "DenseChange" else SIZES)
    assert flag in found.flags, found.why
    assert call in found.why


def test_tiles_take_no_memory_and_are_found_out_by_their_time(optimizer):
    found = judged(
        Liar("DenseTiles"), optimizer, replace(TIMED, batch=128)
    )  # mostly dense products
    assert DENSE_WORK in found.flags, found.why
    assert found.numbers["square_peak_bytes"] < 2048**2, "not even a byte an entry"


def test_what_is_dense_at_the_sizes_of_the_trial_only_is_found_there(optimizer, in_a_hurry):
    elsewhere = judged(Liar("DenseAboveOnePercent"), optimizer)
    assert DENSE_STORAGE not in elsewhere.flags, elsewhere.why
    found = judged(Liar("DenseAboveOnePercent"), optimizer, USUAL)
    assert DENSE_STORAGE in found.flags, found.why
    assert "3.1 % dense (32,768 connections), batches of 64" in found.why


@pytest.mark.skipif(memory.referenced() is None, reason="needs counts of referenced memory")
def test_memory_that_was_taken_at_import_is_found_by_its_use(optimizer, in_a_hurry):
    found = judged(Liar("TakesMemoryEarly"), optimizer, TIMED)
    assert DENSE_STORAGE in found.flags, found.why
    assert "change uses" in found.why


@pytest.mark.parametrize(
    ("topology", "model", "call"),
    [
        ("set", "mlp", None),
        ("dense-topology", "mlp", "topology update"),
        ("set", "dense-model", "network"),
    ],
)
def test_a_dense_topology_or_model_is_found_as_a_backend_is(in_a_hurry, topology, model, call):
    known = load_plugins([Path(__file__).parent / "liars.py"])
    parts = {
        "dataset": {"name": "wine"}, "model": {"name": model, "hidden": [16]},
        "topology": {"name": topology, "epsilon": 4}, "optimizer": {"name": "sgd"},
        "trainer": {"name": "sequential"}, "backend": {"name": "scipy-csr"},
    }  # fmt: skip
    valid = {kind: known.validate(kind, value, kind) for kind, value in parts.items()}
    trial = Trial(**valid, epochs=1, batch_size=16, threads=1, seed=0)
    work = assemble(build_parts(trial, known), trial, None, Meter())
    sizes = replace(SIZES, network=True)
    found = judge(probe_all(lambda shape: NetworkSubject(work, shape, sizes), sizes))
    assert (DENSE_STORAGE in found.flags) == (call is not None), found.why
    assert call is None or call in found.why


def test_a_hidden_copy_is_undeclared_too(optimizer, in_a_hurry):
    found = judged(Liar("KeepsDense"), optimizer, TIMED)
    assert {DENSE_STORAGE, UNDECLARED} <= set(found.flags), found.why


def test_passes_that_apply_the_activation_are_probed_as_well(optimizer, in_a_hurry):
    alone = judged(Liar("DenseInside"), optimizer)
    assert DENSE_STORAGE not in alone.flags, "only asked for without the unit"
    found = judged(ThroughLiar("DenseInside"), optimizer)
    assert DENSE_STORAGE in found.flags, found.why
    assert "forward_through" in found.why or "evaluation" in found.why


def test_the_honest_layer_beside_the_liars_is_not_flagged(optimizer):
    found = judged(Liar("ScipyCsrLayer"), optimizer)
    assert found.flags == (), found.why


def test_evidence_survives_json(optimizer, in_a_hurry):
    found = probe(Liar(), optimizer, Sizes(side=1024, batch=4))
    assert Evidence.from_json(found.to_json()) == found
    assert found.truly_sparse is True
    assert {sum(point.shape) for point in found.points} == {2048}
