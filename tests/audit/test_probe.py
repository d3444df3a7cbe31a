"""The probe finds what is dense, whatever a backend says; on a machine that does other things."""

from __future__ import annotations

from functools import cache

import pytest
from liars import Liar, ThroughLiar

from sparsebench.analysis.honesty import DENSE_STORAGE, DENSE_WORK, UNDECLARED, judge
from sparsebench.core.audit.evidence import Evidence, Sizes
from sparsebench.core.audit.probe import probe
from sparsebench.core.worker import memory

pytestmark = pytest.mark.skipif(
    not (memory.HAS_PROC and memory.reset_peak()), reason="needs a high-water mark that resets"
)

SIZES = Sizes(side=2048, batch=32)
"""A dense float32 matrix of the square layer takes 16 MiB."""


@pytest.fixture(scope="module")
def optimizer(build):
    return build("optimizer", {"name": "sgd", "momentum": 0.9})


@cache
def judged(backend, optimizer):
    return judge(probe(backend, optimizer, SIZES))


@pytest.mark.parametrize("name", ["numba-csr", "scipy-csr"])
def test_truly_sparse_backends_are_not_flagged(build, optimizer, name):
    found = judged(build("backend", name), optimizer)
    assert found.flags == (), found.why
    assert found.sure, found.why


def test_a_dense_mask_is_found_out_by_both(build, optimizer):
    found = judged(build("backend", "dense-mask"), optimizer)
    assert set(found.flags) == {DENSE_STORAGE, DENSE_WORK}, found.why
    assert "16.0 bytes more for each entry of K D" in found.why


@pytest.mark.parametrize(
    ("how", "flag", "call"),
    [
        ("KeepsDense", DENSE_STORAGE, ""),
        ("DenseForAMoment", DENSE_STORAGE, ""),
        ("DenseTiles", DENSE_WORK, "forward"),
        ("DenseChange", DENSE_STORAGE, "change"),
        ("DenseWeights", DENSE_STORAGE, "weights, state"),
        ("Hoards", UNDECLARED, "holds 24"),
    ],
)
def test_a_liar_is_found_out(optimizer, how, flag, call):
    found = judged(Liar(how), optimizer)
    assert flag in found.flags, found.why
    assert call in found.why


def test_tiles_take_no_memory_and_are_found_out_by_their_time(optimizer):
    found = judged(Liar("DenseTiles"), optimizer)
    assert DENSE_WORK in found.flags, found.why
    assert found.numbers["square_peak_bytes"] < 2048**2, "not even a byte an entry"


def test_a_hidden_copy_is_undeclared_too(optimizer):
    found = judged(Liar("KeepsDense"), optimizer)
    assert {DENSE_STORAGE, UNDECLARED} <= set(found.flags), found.why


def test_passes_that_apply_the_activation_are_probed_as_well(optimizer):
    assert judged(Liar("DenseInside"), optimizer).flags == (), "only asked for without the unit"
    found = judged(ThroughLiar("DenseInside"), optimizer)
    assert DENSE_STORAGE in found.flags, found.why
    assert "forward_through" in found.why or "evaluation" in found.why


def test_the_honest_layer_beside_the_liars_is_not_flagged(optimizer):
    found = judged(Liar("ScipyCsrLayer"), optimizer)
    assert found.flags == (), found.why


def test_evidence_survives_json(optimizer):
    found = probe(Liar(), optimizer, Sizes(side=1024, batch=4))
    assert Evidence.from_json(found.to_json()) == found
    assert found.truly_sparse is True
    assert {sum(point.shape) for point in found.points} == {2048}
