"""A cache that cannot be written, and a user without a home, cost time and nothing else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.trial import Trial
from sparsebench.errors import SparsebenchError
from sparsebench.folders import cache_directory
from sparsebench.registry import Plugins
from sparsebench.run.kernel_cache import (
    cache_folder,
    forget_compiled,
    is_compiled,
    kept_shares,
    mark_compiled,
    most_different,
    unwritable_cache,
)


def make_trial(plugins: Plugins, backend: str = "numba-csr", topology: str = "set") -> Trial:
    names = {
        "dataset": "wine", "model": {"name": "mlp", "hidden": [8]}, "topology": topology,
        "optimizer": "sgd", "backend": backend, "trainer": "sequential",
        "objective": "classification",
    }  # fmt: skip
    parts: dict[str, Any] = {
        kind: plugins.validate(kind, given, kind) for kind, given in names.items()
    }
    return Trial(**parts, epochs=1, batch_size=1, threads=1, seed=0)


def test_code_goes_elsewhere_and_a_line_says_what_to_set(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("SPARSEBENCH_CACHE", str(file / "below"))
    folder = cache_folder(make_trial(plugins), plugins)
    assert os.access(folder, os.W_OK)
    assert not folder.is_relative_to(file)
    assert folder.parent.stat().st_mode & 0o077 == 0
    line = unwritable_cache()
    assert "SPARSEBENCH_CACHE" in line
    assert str(file) in line
    assert "\n" not in line
    monkeypatch.setenv("SPARSEBENCH_CACHE", str(tmp_path / "fresh"))
    assert unwritable_cache() == ""


def test_a_user_without_a_home_has_a_cache_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARSEBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache_directory()
    assert folder == tmp_path / f"sparsebench-{os.getuid()}"
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)  # whoever can write there could have us load their code
    with pytest.raises(SparsebenchError, match="SPARSEBENCH_CACHE"):
        cache_directory()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SparsebenchError, match="SPARSEBENCH_CACHE"):
        cache_directory()


def test_what_is_compiled_is_not_compiled_again(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSEBENCH_CACHE", str(tmp_path / "fresh"))
    trial, other = make_trial(plugins), make_trial(plugins, topology="static")
    cache_folder(trial, plugins)
    assert not is_compiled(trial, plugins)
    mark_compiled([trial], plugins)
    assert is_compiled(trial, plugins)
    assert not is_compiled(other, plugins)
    forget_compiled(list(kept_shares(trial, plugins).items())[:1])
    assert not is_compiled(trial, plugins)


def test_processes_that_compile_at_once_have_little_in_common(plugins: Plugins) -> None:
    first, same_backend, same_topology, apart = (
        make_trial(plugins, "numba-csr", "static"),
        make_trial(plugins, "numba-csr", "set"),
        make_trial(plugins, "scipy-csr", "static"),
        make_trial(plugins, "scipy-csr", "set"),
    )
    trials = [first, same_backend, same_topology, apart]
    assert most_different(trials, 4) == [first, apart]
    assert most_different(trials, 1) == [first]
