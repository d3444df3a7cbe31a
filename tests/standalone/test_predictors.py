"""The programs predict what the network predicts, whatever its activations and its task."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load
from sklearn.datasets import load_diabetes, load_wine

import sparsebench
from sparsebench.errors import SparsebenchError
from sparsebench.sklearn import SparseAutoencoder, SparseMLPClassifier, SparseMLPRegressor
from sparsebench.standalone.description import described
from sparsebench.standalone.formats import write_network

WINE = load_wine()
X = WINE.data[::5]
NAMES = np.array(['a "b"', "c\\d??=", "é\n"])[WINE.target[::5]]
D, T = load_diabetes(return_X_y=True)
SETTINGS = {"max_iter": 2, "random_state": 0, "hidden_layer_sizes": (12, 9)}

NETWORKS = {
    **{
        activation: lambda activation=activation: SparseMLPClassifier(
            **SETTINGS, activation=activation
        ).fit(X, NAMES)
        for activation in ("relu", "all-relu", "leaky-relu", "tanh", "sigmoid", "srelu")
    },
    "regression": lambda: SparseMLPRegressor(**SETTINGS).fit(D[:40], T[:40]),
    "two targets": lambda: SparseMLPRegressor(**SETTINGS).fit(D[:40], np.c_[T, -T][:40]),
    "autoencoder": lambda: SparseAutoencoder(**SETTINGS).fit(D[:40]),
}
LANGUAGES = {"python": "py", "c": "c"}


@pytest.fixture(scope="module", params=NETWORKS)
def saved(request, tmp_path_factory):
    """A file of a network, its inputs, and what it predicts."""
    file = tmp_path_factory.mktemp("model") / "model.npz"
    NETWORKS[request.param]().save(file)
    inputs = D[:15] if request.param in ("regression", "two targets", "autoencoder") else X[:15]
    return file, inputs, sparsebench.load_model(file).predict(inputs)


def program(folder, model, kind):
    source = folder / f"model.{LANGUAGES[kind]}"
    with source.open("wb") as target:
        write_network(model, kind, target)
    if kind == "python":
        return [sys.executable, "-I", str(source)]
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    binary = folder / "model"
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run(["cc", *flags, str(source), "-o", str(binary), "-lm"], check=True)
    return [str(binary)]


@pytest.mark.parametrize("kind", LANGUAGES)
def test_a_program_predicts_as_the_network_does(saved, tmp_path, kind):
    model, inputs, expected = saved
    lines = "\n".join(",".join(map(repr, map(float, x))) for x in inputs)
    run = subprocess.run(
        program(tmp_path, model, kind), input=lines, capture_output=True, text=True, check=True
    )
    if expected.dtype.kind in "US":
        assert run.stdout == "".join(f"{name}\n" for name in expected)
        return
    found = np.loadtxt(run.stdout.splitlines(), delimiter=",")
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", LANGUAGES)
def test_a_wrong_line_is_named(tmp_path, kind):
    NETWORKS["relu"]().save(tmp_path / "model.npz")
    command = program(tmp_path, tmp_path / "model.npz", kind)
    good = ",".join(map(str, X[0]))
    for line, message in (("1, 2", "line 2: 2 values; expected 13"), ("x", "line 2: ")):
        run = subprocess.run(command, input=f"{good}\n{line}\n", capture_output=True, text=True)
        assert run.returncode == 1
        assert run.stdout.count("\n") >= 1
        assert message in run.stderr
        assert run.stderr.count("\n") == 1


def test_safetensors_have_the_arrays_of_the_npz(saved, tmp_path):
    model, _, _ = saved
    with (tmp_path / "model.safetensors").open("wb") as target:
        write_network(model, "safetensors", target)
    found = load((tmp_path / "model.safetensors").read_bytes())
    with np.load(model) as arrays:
        numbers = {name for name in arrays.files if arrays[name].dtype.kind not in "US"}
        assert set(found) == numbers - {"facts"}
        for name, array in found.items():
            np.testing.assert_array_equal(array, arrays[name])


def test_an_activation_without_a_form_is_one_line(tmp_path):
    NETWORKS["tanh"]().save(tmp_path / "model.npz")
    net = sparsebench.load_model(tmp_path / "model.npz")
    net.facts["model"]["activation"] = {"name": "softsign"}
    with pytest.raises(SparsebenchError, match="unknown activation 'softsign'"):
        described(net)
