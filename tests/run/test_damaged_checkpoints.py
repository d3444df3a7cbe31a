"""A checkpoint that is damaged, or of something else: one line, and a start from the beginning."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsebench.core.archive import write_archive
from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.core.worker.checkpoint_writer import CHECKPOINT_FORMAT, Checkpoints
from sparsebench.core.worker.meter import Meter

SHAPES = [(3, 4), (2, 3)]
TRIAL = Trial(
    dataset={"name": "d"}, model={"name": "m"}, topology={"name": "t"}, optimizer={"name": "o"},
    trainer={"name": "r"}, backend={"name": "b"}, epochs=3, batch_size=1, threads=1, seed=0,
)  # fmt: skip
FACTS: dict[str, Any] = {
    "format": CHECKPOINT_FORMAT,
    "trial": TRIAL.id,
    "observers": [],
    "attempt": 1,
    "machine": "m",
    "wall_seconds": 1.5,
    "cpu_seconds": 1.0,
    "meter": {
        "phases": {"train": {"seconds": 1.0, "peak_rss_bytes": 5}},
        "peak_rss_bytes": 5,
        "net_peak_bytes": None,
    },
    "position": {"epoch": 2, "start": 1, "step": 4, "losses": 0.5},
    "started": [4, 2],
    "epochs": [{"epoch": 1}],
    "laps": {"train": 1.0},
    "counts": {"dropped": [0, 0], "grown": [0, 0], "pruned": [0, 0]},
}


def arrays() -> dict[str, Any]:
    return {
        "layer1.indptr": np.array([0, 2, 3, 4], dtype=np.int32),
        "layer1.indices": np.array([0, 3, 1, 2], dtype=np.int32),
        "layer1.data": np.ones(4, dtype=np.float32),
        "layer1.bias": np.zeros(3, dtype=np.float32),
        "layer2.indptr": np.array([0, 1, 2], dtype=np.int32),
        "layer2.indices": np.array([2, 0], dtype=np.int32),
        "layer2.data": np.ones(2, dtype=np.float32),
        "layer2.bias": np.zeros(2, dtype=np.float32),
    }


def packed(facts: Any, found: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    write_archive(stream, facts, found.items())
    return stream.getvalue()


@pytest.fixture
def resume(tmp_path: Path) -> Callable[[bytes], Checkpoints]:
    def from_bytes(content: bytes) -> Checkpoints:
        file = tmp_path / "checkpoint.npz"
        file.write_bytes(content)
        folder = tmp_path / "2"
        folder.mkdir(exist_ok=True)
        job = Job(trial=TRIAL, folder=folder, data_dir=tmp_path, resume_from=file)
        return Checkpoints(job, Meter(), SHAPES)

    return from_bytes


Resume = Callable[[bytes], Checkpoints]


def refused(found: Checkpoints, capsys: pytest.CaptureFixture[str]) -> str:
    """The note, after a look at what is left to start from the beginning."""
    assert found.found is None
    note = str(found.settings["resumed"]["refused"])
    assert capsys.readouterr().err == f"starts from the beginning: {note}\n"
    assert "earlier_wall_seconds" not in found.earlier
    return note


def test_a_whole_one_is_taken(resume: Resume) -> None:
    found = resume(packed(FACTS, arrays()))
    assert found.found is not None
    found.found.close()
    assert found.settings["resumed"] == {"attempt": 1, "machine": "m", "epoch": 2, "step": 4}
    assert found.earlier == {"earlier_wall_seconds": 1.5, "earlier_cpu_seconds": 1.0}


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("layer1.indices", np.array([0, 3, 1, 400], dtype=np.int32)),
        ("layer1.indices", np.array([0, -3, 1, 2], dtype=np.int32)),
        ("layer1.indices", np.array([3, 0, 1, 2], dtype=np.int32)),
        ("layer1.indices", np.array([0, 3, 1, 2], dtype=np.float32)),
        ("layer1.indptr", np.array([0, 2, 1, 4], dtype=np.int32)),
        ("layer1.indptr", np.array([0, 2, 4], dtype=np.int32)),
        ("layer1.indptr", np.array([0, 2, 3, 400], dtype=np.int32)),
        ("layer1.indptr", np.array([], dtype=np.int32)),
        ("layer1.indptr", np.array(3, dtype=np.int32)),
        ("layer1.data", np.ones(3, dtype=np.float32)),
        ("layer1.data", np.ones((2, 2), dtype=np.float32)),
        ("layer1.data", np.array(["a", "b", "c", "d"])),
        ("layer2.bias", np.zeros(9, dtype=np.float32)),
        ("layer2.momentum", np.array(["far"])),
        ("layer2.bias", None),
    ],
)
def test_arrays_that_native_code_must_not_see(
    resume: Resume, capsys: pytest.CaptureFixture[str], name: str, array: Any
) -> None:
    found = {**arrays(), name: array}
    if array is None:
        del found[name]
    assert refused(resume(packed(FACTS, found)), capsys)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 99},
        {"trial": "another"},
        {"observers": [{"name": "new"}]},
        {"attempt": "1"},
        {"wall_seconds": "1"},
        {"wall_seconds": float("nan")},
        {"meter": None},
        {"meter": {"phases": {"train": 1}}},
        {"position": {"epoch": 0, "start": 0, "step": 0, "losses": 0.0}},
        {"position": {}},
        {"started": [1]},
        {"counts": {"dropped": [0], "grown": [0, 0], "pruned": [0, 0]}},
        {"laps": []},
        {"epochs": [1]},
    ],
)
def test_facts_of_the_wrong_kind(
    resume: Resume, capsys: pytest.CaptureFixture[str], changed: dict[str, Any]
) -> None:
    assert refused(resume(packed({**FACTS, **changed}, arrays())), capsys)


def test_files_that_are_no_archive(resume: Resume, capsys: pytest.CaptureFixture[str]) -> None:
    whole = packed(FACTS, arrays())
    for content in (b"", b"no zip", whole[: len(whole) // 2], packed([1], arrays())):
        assert refused(resume(content), capsys)
    for place in range(0, len(whole), 97):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0xFF
        found = resume(bytes(spoilt))
        capsys.readouterr()
        if found.found is not None:
            found.found.close()
            assert found.settings["resumed"]["epoch"] == 2


def test_nothing_is_unpickled(resume: Resume, capsys: pytest.CaptureFixture[str]) -> None:
    stream, member = io.BytesIO(), io.BytesIO()
    np.save(member, np.array([print], dtype=object), allow_pickle=True)
    facts = io.BytesIO()
    np.save(facts, np.frombuffer(json.dumps(FACTS).encode(), dtype=np.uint8))
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("facts.npy", facts.getvalue())
        file.writestr("layer1.indptr.npy", member.getvalue())
    assert refused(resume(stream.getvalue()), capsys)


def test_of_another_trial(resume: Resume, capsys: pytest.CaptureFixture[str]) -> None:
    other = {**FACTS, "trial": replace(TRIAL, seed=1).id}
    note = refused(resume(packed(other, arrays())), capsys)
    assert note == "the checkpoint is of another trial"
