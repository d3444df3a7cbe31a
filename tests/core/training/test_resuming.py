"""Going on from a checkpoint is as if nothing had happened: bit for bit."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import Blobs, prepare, small_work

from sparsebench.core.archive import Archive, BadArchive, WithPrefix, write_archive
from sparsebench.core.training import loop
from sparsebench.core.training.loop import train
from sparsebench.discovery import load_plugins
from sparsebench.errors import Unsupported

TOPOLOGIES = [entry.name for entry in load_plugins()["topology"]]
STEPS_PER_EPOCH = 11


class Killed(Exception):
    pass


@pytest.fixture(autouse=True)
def single_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is a call of its own, so that a checkpoint can follow any."""
    monkeypatch.setattr(loop, "MOST_STEPS", 1)


class Keeps:
    """Keeps a checkpoint after each step of `after`, and goes on from `file` if it is there."""

    def __init__(self, file: Path, after: set[int] | None = None, go_on: bool = False) -> None:
        self.file = file
        self.after = after if after is not None else set()
        self.found = Archive(file) if go_on else None
        self.step = 0
        self.kept: list[int] = []

    def due(self) -> bool:
        return self.step in self.after

    def keep(self, facts: Any, arrays: Any) -> None:
        with self.file.open("wb") as stream:
            write_archive(stream, facts, arrays)
        self.kept.append(facts["position"]["step"])


def arrays_of(result: Any) -> dict[str, Any]:
    found = dict(result.network.saved())
    for number, layer in enumerate(result.network.layers):
        W = layer.weights()
        W.validate()
        for name, array in (("indptr", W.indptr), ("indices", W.indices), ("data", W.data)):
            found[f"{number}.{name}"] = array
        found[f"{number}.bias"] = layer.bias()
    return {name: np.array(array) for name, array in found.items()}


UNTIMED = ("epoch", "train_loss", "test_loss", "test_accuracy", "validation_accuracy",
           "learning_rate", "connections", "dropped", "grown", "pruned")  # fmt: skip


def untimed(result: Any) -> list[list[Any]]:
    return [[getattr(record, name) for name in UNTIMED] for record in result.epochs]


def assert_same(one: Any, other: Any) -> None:
    a, b = arrays_of(one), arrays_of(other)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert np.array_equal(a[name], b[name]), name
    assert untimed(one) == untimed(other)
    for name in ("connections", "initial_connections", "best_test_accuracy", "test_loss"):
        assert one.measures[name] == other.measures[name], name


def interrupted(build: Any, file: Path, kept: int, killed: int, **given: Any) -> Any:
    """Train until step `killed` with a checkpoint after step `kept`, then go on from it."""
    keeper = Keeps(file, {kept})

    def progress(epoch: int, step: int, loss: float) -> None:
        keeper.step = step
        if step >= killed:
            raise Killed

    with pytest.raises(Killed):
        train(small_work(build, progress=progress, keeper=keeper, **given))
    assert keeper.kept in ([kept], [kept + 1])  # an update may have taken the place of a step
    return train(small_work(build, keeper=Keeps(file, go_on=True), **given))


@pytest.mark.parametrize("kept", [1, 10, 11, 12, 21, 22, 30])
def test_at_every_kind_of_moment(build, tmp_path, kept):
    """In an epoch, at its end, right after, and before the last, smaller batch (of 10)."""
    undisturbed = train(small_work(build))
    went_on = interrupted(build, tmp_path / "c.npz", kept, kept + 3)
    assert_same(undisturbed, went_on)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("prune", [False, True])
def test_every_topology_at_random_steps(build, tmp_path, topology, prune):
    given = {"topology": {"name": topology}, "epochs": 4}
    if prune:
        given["pruning"] = {"name": "importance", "start": 2, "every": 1, "percentile": 20}
    if "validation" in build("topology", topology).needs.signals:
        parts = (Blobs(367, 20, 4, 1), Blobs(90, 20, 4, 2), 4)
        given["data"] = prepare(parts, validation=0.1)  # leaves 330 samples
    undisturbed = train(small_work(build, **given))
    rng = np.random.default_rng(TOPOLOGIES.index(topology))
    for kept in rng.integers(1, 4 * STEPS_PER_EPOCH - 1, size=2).tolist():
        killed = int(rng.integers(kept + 1, 4 * STEPS_PER_EPOCH + 1))
        assert_same(undisturbed, interrupted(build, tmp_path / "c.npz", kept, killed, **given))


MOVING = {
    "rigl": {"name": "rigl", "density": 0.3, "update_every": 4},
    "rigl at an epoch's end": {"name": "rigl", "density": 0.3, "update_every": 11},
    "gse": {"name": "gse", "density": 0.3, "update_every": 4},
    "snfs": {"name": "snfs", "density": 0.3, "update_every": 4},
    "granet": {"name": "granet", "density": 0.1, "update_every": 4},
    "soft": {"name": "dynamic", "density": 0.3, "drop": "soft-magnitude", "update_every": 4},
}


@pytest.mark.parametrize("method", MOVING)
@pytest.mark.parametrize("kept", [3, 4, 10, 11, 14])
def test_methods_go_on_with_what_they_remember(build, tmp_path, method, kept):
    """Before an update, at one, at the end of an epoch, and after a batch that an update took."""
    given = {"topology": MOVING[method], "epochs": 3}
    undisturbed = train(small_work(build, **given))
    assert sum(sum(epoch.grown) for epoch in undisturbed.epochs) > 0
    assert_same(undisturbed, interrupted(build, tmp_path / "c.npz", kept, kept + 3, **given))


@pytest.mark.parametrize("backend", ["numba-csr", "scipy-csr", "dense-mask"])
@pytest.mark.parametrize("activation", ["all-relu", "srelu", "tanh"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_backend_activation_and_rule(build, tmp_path, backend, activation, optimizer):
    given = {
        "backend": backend,
        "model": {"name": "mlp", "hidden": [40, 30], "activation": activation, "dropout": 0.2},
        "topology": {"name": "set", "epsilon": 6, "update_every": 5},
        "optimizer": {"name": optimizer, "learning_rate": 0.01},
        "epochs": 3,
    }
    undisturbed = train(small_work(build, **given))
    assert_same(undisturbed, interrupted(build, tmp_path / "c.npz", 17, 20, **given))


@pytest.mark.parametrize("batch_size", [4, 8, 9, 32])
def test_numba_goes_the_same_way_through_small_batches(build, tmp_path, batch_size):
    """330 samples: 9 and 32 leave a last batch of 6 and 10, after which the checkpoint is made
    or before which it is."""
    steps = -(-330 // batch_size)
    for kept in (steps - 1, steps):
        slow = {"name": "sgd", "learning_rate": 0.005}
        given = {"batch_size": batch_size, "epochs": 2, "optimizer": slow}
        undisturbed = train(small_work(build, **given))
        went_on = interrupted(build, tmp_path / "c.npz", kept, kept + 1, **given)
        assert_same(undisturbed, went_on)


def test_bfloat16_momenta_are_kept_as_they_are(build, tmp_path):
    given = {"backend": {"name": "numba-csr", "momenta": "bfloat16", "activations": "bfloat16"}}
    undisturbed = train(small_work(build, **given))
    assert_same(undisturbed, interrupted(build, tmp_path / "c.npz", 13, 15, **given))


@pytest.mark.parametrize("backend", ["torch-csr", "torch-dense-mask", "mkl-csr", "sparselab",
                                     "sparseprop"])  # fmt: skip
def test_rival_backends(build, plugins, tmp_path, backend):
    reason = plugins.entry("backend", backend).unavailable()
    if reason is not None:
        pytest.skip(reason)
    undisturbed = train(small_work(build, backend=backend))
    assert_same(undisturbed, interrupted(build, tmp_path / "c.npz", 13, 15, backend=backend))


def test_twice_interrupted(build, tmp_path):
    undisturbed = train(small_work(build))
    first, second = tmp_path / "1.npz", tmp_path / "2.npz"
    train(small_work(build, keeper=(keeper := Keeps(first, {14})), progress=steps_of(keeper)))
    keeper = Keeps(second, {25}, go_on=False)
    keeper.found = Archive(first)
    train(small_work(build, keeper=keeper, progress=steps_of(keeper)))
    assert_same(undisturbed, train(small_work(build, keeper=Keeps(second, go_on=True))))


def steps_of(keeper: Keeps) -> Any:
    def progress(epoch: int, step: int, loss: float) -> None:
        keeper.step = step

    return progress


def test_a_wide_networks_checkpoint_is_never_dense(build, tmp_path):
    """40,000 x 40,000 with 40,000 connections: a dense array would be 6.4 GB."""
    keeper = Keeps(tmp_path / "c.npz", {1})
    work = small_work(
        build,
        model={"name": "mlp", "hidden": [40_000, 40_000]},
        topology={"name": "set", "epsilon": 0.5},
        keeper=keeper,
        progress=steps_of(keeper),
        epochs=1,
    )
    connections = train(work).measures["connections"]
    per_connection = keeper.file.stat().st_size / (connections + 80_000)
    assert per_connection < 24


def test_what_cannot_be_saved_is_refused_before_training(build, tmp_path):
    work = small_work(build, keeper=Keeps(tmp_path / "c.npz"))

    class Bare:
        """A layer from before there were checkpoints."""

        def __init__(self, layer: Any) -> None:
            self._layer = layer

        def __getattr__(self, name: str) -> Any:
            if name in ("saved", "restore"):
                raise AttributeError(name)
            return getattr(self._layer, name)

    class Odd:
        def layer(self, *given: Any) -> Bare:
            return Bare(work.backend.layer(*given))

    with pytest.raises(Unsupported, match="Bare cannot be saved"):
        train(replace(work, backend=Odd()))


class TestArchive:
    def test_arrays_come_back_as_they_were(self, tmp_path):
        arrays = {"a.b": np.arange(5, dtype=np.uint16), "a.c": np.array(True), "empty": np.empty(0)}
        with (tmp_path / "x.npz").open("wb") as stream:
            write_archive(stream, {"n": 1.5, "none": None}, arrays.items())
        found = Archive(tmp_path / "x.npz")
        assert found.facts == {"n": 1.5, "none": None}
        assert sorted(found) == ["a.b", "a.c", "empty"]
        assert len(found) == 3
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)
        assert sorted(WithPrefix(found, "a")) == ["b", "c"]
        with pytest.raises(KeyError):
            found["d"]

    def test_what_is_no_archive_is_reported(self, tmp_path):
        file = tmp_path / "x.npz"
        file.write_bytes(b"")
        with pytest.raises(BadArchive, match=r"x\.npz cannot be read"):
            Archive(file)
        with pytest.raises(BadArchive, match="cannot be read"):
            Archive(tmp_path / "none.npz")
        np.save(tmp_path / "y.npy", np.arange(3))
        with pytest.raises(BadArchive, match="not an npz"):
            Archive(tmp_path / "y.npy")
        np.savez(file, other=np.arange(3))
        with pytest.raises(BadArchive, match="cannot be read"):
            Archive(file)

    def test_objects_are_not_read(self, tmp_path):
        file = tmp_path / "x.npz"
        np.savez(file, facts=np.array([{}], dtype=object))
        with pytest.raises(BadArchive, match="allow_pickle=False"):
            Archive(file)

    def test_a_compressed_member_is_refused(self, tmp_path):
        """What is stored takes what it says; what is compressed may be a bomb."""
        file = tmp_path / "x.npz"
        np.savez_compressed(file, facts=np.zeros(1000, dtype=np.uint8))
        with pytest.raises(BadArchive, match="is compressed"):
            Archive(file)

    def test_a_flipped_byte_is_seen(self, tmp_path):
        stream = io.BytesIO()
        write_archive(stream, {}, [("a", np.arange(1000, dtype=np.float32))])
        whole = bytearray(stream.getvalue())
        at = zipfile.ZipFile(stream).getinfo("a.npy").header_offset + 1000
        whole[at] ^= 1
        (tmp_path / "x.npz").write_bytes(whole)
        with pytest.raises(BadArchive, match="a cannot be read"):
            Archive(tmp_path / "x.npz")["a"]
