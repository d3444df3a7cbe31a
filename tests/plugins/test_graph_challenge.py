"""The networks of the Graph Challenge: their construction, the official file, and inference."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from small import small_work
from sparsebench_plugins.graph_challenge import inference
from sparsebench_plugins.graph_challenge.dataset import FILE, GraphChallenge
from sparsebench_plugins.graph_challenge.images import ARRAYS, Images, drawn, official
from sparsebench_plugins.graph_challenge.model import CAP, WEIGHT
from sparsebench_plugins.graph_challenge.radix_net import RadixNet

from sparsebench.core.data.prepare import prepare
from sparsebench.core.nn.buffers import Buffer
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.discovery import load_plugins
from sparsebench.errors import DataError, MissingData, SuiteError, Unsupported

DATA = Path(os.environ.get("SPARSEBENCH_DATA", "nowhere"))
PLACES = (DATA / FILE, DATA / "graph-challenge" / FILE, DATA.parent / "graph-challenge" / FILE)
OFFICIAL = next((place for place in PLACES if place.is_file()), None)
needs_file = pytest.mark.skipif(OFFICIAL is None, reason="the official file is not there")


def dense(pattern: CsrPattern) -> np.ndarray:
    pattern.validate()
    full = np.zeros(pattern.shape)
    full[pattern.rows, pattern.indices] = 1
    return full


def work_on(build, images: Images, layers: int, **given):
    objective = build("objective", "classification")
    data = prepare((images, images, 2), objective, seed=0)
    model = {"name": "graph-challenge", "layers": layers}
    given = {"backend": "scipy-csr", "topology": "radix-net", "batch_size": 50, **given}
    return small_work(build, data=data, model=model, **given)


# --- the construction ----------------------------------------------------------------


def test_radix_net_is_its_definition():
    """Written out for 8 residues of 3 inputs each: two blocks of three layers."""
    net, D, K = RadixNet(group=3), 24, 10
    assert net.connections([(K, D), (5, 7)]) == [60, 35]
    for index in range(6):
        found = dense(net.pattern(index, (K, D)))
        assert (found.sum(axis=1) == 6).all()
        assert np.array_equal(found, dense(net.pattern(index, (K, D))))
        if index < 3:
            i, j = np.arange(D), np.arange(K)[:, None]
            assert np.array_equal(found, np.isin((i - j) % 8, (0, 2**index)))
    blocks = [dense(net.pattern(index, (D, D))) for index in range(3)]
    assert (blocks[2] @ blocks[1] @ blocks[0] == 9).all()  # every output by as many paths
    assert not np.array_equal(dense(net.pattern(3, (K, D))), dense(net.pattern(0, (K, D))))


@needs_file
def test_the_official_network_has_this_form():
    """The first block exactly; later ones with maps of their own, equal within a block."""
    images = official(OFFICIAL, 1)
    for index in range(6):
        mine, theirs = RadixNet().pattern(index, (1024, 1024)), images.official_pattern(index)
        assert np.array_equal(mine.indptr, theirs.indptr)
        assert np.array_equal(mine.indices, theirs.indices)
    for index, kinds in ((6, 64), (29, 32)):  # j and j + 32 meet the same inputs in the last of six
        pattern = images.official_pattern(index)
        pattern.validate()
        assert (pattern.in_degrees() == 32).all()
        assert (pattern.out_degrees() == 32).all()
        assert len({tuple(row) for row in pattern.indices.reshape(1024, 32)}) == kinds


# --- inference -----------------------------------------------------------------------


def reference(images: Images, patterns, bias: float):
    """Y <- min(32, max(0, Y W + b)) as the challenge writes it: b on the nonzeros of Y W only."""
    ones = np.ones(images.pixels.size)
    Y = csr_matrix((ones, images.pixels, images.indptr), (len(images.targets), images.features))
    for pattern in patterns:
        W = csr_matrix((np.full(pattern.nnz, WEIGHT), pattern.indices, pattern.indptr)).T
        Y = csr_matrix(Y @ W)
        Y.data = np.clip(Y.data + bias, 0, CAP)
        Y.eliminate_zeros()
    return np.flatnonzero(np.diff(Y.indptr))


@pytest.mark.parametrize("backend", ["scipy-csr", "dense-mask"])
@pytest.mark.parametrize("skip_dead", [False, True])
def test_the_same_rows_survive_as_in_the_reference(build, backend, skip_dead):
    images = drawn(1024, 70, 3)
    work = work_on(build, images, 4, backend=backend, epochs=2)
    trainer = build("trainer", {"name": "graph-challenge", "skip_dead": skip_dead})
    found = trainer.run(work)
    patterns = [RadixNet().pattern(index, (1024, 1024)) for index in range(4)]
    rows = reference(images, patterns, -0.3)
    assert 0 < rows.size < 70
    layers = list(inference.build(work, images))
    scratch = (Buffer(1024), Buffer(1024))
    alive = inference.infer(layers, images.batch(np.arange(70)), skip_dead, scratch)
    assert np.array_equal(alive, rows)
    assert found.measures["surviving_rows"] == rows.size
    assert found.measures["row_agreement"] is None
    assert found.measures["connections"] == 4 * 32768
    assert work.topology.connections([(1024, 1024)]) == [32768]
    seconds, rate = (
        found.measures[name] for name in ("inference_seconds", "edges_images_per_second")
    )
    assert rate == pytest.approx(4 * 32768 * 70 / seconds)


@needs_file
def test_the_official_rows_survive(build):
    """Also behind generated layers: a saturated row stays so, a dead one too."""
    images = official(OFFICIAL, 400)
    trainer = build("trainer", {"name": "graph-challenge", "skip_dead": True})
    found = trainer.run(work_on(build, images, 32, batch_size=200)).measures
    assert (found["row_agreement"], found["surviving_rows"]) == (1.0, 3)
    assert found["neurons"] == 33 * 1024


def test_other_rows_are_an_error_and_say_which():
    inference.check(np.array([3, 5]), np.array([3, 5]))
    with pytest.raises(inference.WrongRows) as caught:
        inference.check(np.array([3, 6, 9]), np.array([3, 5]))
    assert str(caught.value) == (
        "3 rows survive, and officially 2: 1 missing (first: 5) and 2 too many (first: 6)"
    )


def test_columns_that_go_on_fill_whole_vectors():
    lit = np.zeros(100, dtype=bool)
    lit[[7, 50, 99]] = True
    kept = inference.columns_left(lit)
    assert kept.size == 16
    assert set(kept) > {7, 50, 99}
    assert (np.diff(kept) > 0).all()
    assert inference.columns_left(lit[:16]) is None
    assert inference.columns_left(~lit) is None


def test_the_trainer_refuses_what_it_cannot_infer(build):
    trainer = build("trainer", "graph-challenge")
    with pytest.raises(Unsupported, match="needs topology = 'radix-net', found Static"):
        trainer.run(work_on(build, drawn(1024, 4, 0), 2, topology="static"))
    with pytest.raises(Unsupported, match="infers on the data set 'graph-challenge' only"):
        trainer.run(small_work(build))


def test_a_network_of_the_model_infers_too(build):
    """Its units are capped: what `outputs` gives is Y."""
    model = build("model", {"name": "graph-challenge", "layers": 2})
    backend, optimizer = build("backend", "scipy-csr"), build("optimizer", "sgd")
    pattern = CsrPattern.full((4, 4))
    W = CsrMatrix(pattern, model.initializer.draw(pattern, 16, np.random.default_rng(0)))
    layers = [backend.layer(W, np.zeros(4, dtype=np.float32), optimizer) for _ in range(2)]
    network = model.network(layers, backend, optimizer, 0, build("loss", "cross-entropy"))
    Y = network.outputs(np.array([[0, 40, 900]] * 4, dtype=np.float32))
    np.testing.assert_allclose(Y, [[0, 2.5, 8]] * 4)


# --- the file ------------------------------------------------------------------------


def write(path: Path, **changed) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "columns": rng.integers(1024, size=ARRAYS["columns"]),
        "images_indptr": np.minimum(np.arange(1201) * 103, 122713),
        "images_indices": rng.integers(1024, size=122713),
        "categories": np.arange(19),
    }
    kept = {name: array for name, array in (arrays | changed).items() if array is not None}
    np.savez(path, **kept)
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"columns": None}, r"columns is missing; expected integers of shape \(30, 1024, 32\)"),
        ({"categories": np.arange(18)}, r"categories is int64 of shape \(18,\); expected"),
        ({"categories": np.arange(19) + 1190}, r"categories has a number outside 0\.\.1199"),
        ({"images_indptr": np.arange(1201)}, "images_indptr does not frame the pixels of 1200"),
    ],
    ids=str,
)
def test_a_file_that_is_not_the_official_one_is_one_line(tmp_path, changed, message):
    with pytest.raises(DataError, match=message) as caught:
        official(write(tmp_path / FILE, **changed), 5)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_what_to_do(tmp_path):
    plugins = load_plugins(data_dir=tmp_path)
    data = plugins.build("dataset", plugins.validate("dataset", "graph-challenge", "dataset"))
    with pytest.raises(MissingData, match=r"n1024-l30\.npz is not there; docs/graph-challenge\.md"):
        data.identity()
    assert isinstance(data, GraphChallenge)
    (tmp_path / "graph-challenge").mkdir()
    write(tmp_path / "graph-challenge" / FILE)
    assert set(data.identity()) == {"sha256"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"neurons": 4096}, "set generated = true for 4096"),
        ({"images": 60000}, "the official file has 1200 images; set generated = true"),
        ({"neurons": 2048, "generated": True}, "dataset.neurons"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_one_line(plugins, given, message):
    with pytest.raises(SuiteError, match=message):
        plugins.build(
            "dataset", plugins.validate("dataset", {"name": "graph-challenge", **given}, "dataset")
        )


def test_drawn_images_are_the_same_each_time(build):
    dataset = build("dataset", {"name": "graph-challenge", "generated": True, "images": 9})
    first, second = dataset.load()[0], dataset.load()[0]
    assert first.fingerprint() == second.fingerprint() != drawn(1024, 9, 1).fingerprint()
    assert dataset.identity() == {"recipe": 1}
    X = first.batch(np.arange(9))
    assert X.sum() == first.pixels.size
    assert set(np.unique(X)) == {0, 1}
