"""Stores as past versions wrote them, as copies that a test may change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsebench.core.trial import Trial

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden(tmp_path: Path) -> Callable[..., Path]:
    """golden(1): a copy of the store of that schema; golden(2, "b"): another copy."""

    def copy(schema: int, name: str = "golden") -> Path:
        return Path(shutil.copytree(GOLDEN / f"store_{schema}", tmp_path / name))

    return copy


@pytest.fixture
def trial() -> Trial:
    part = {"name": "odd"}
    return Trial(
        dataset=part, model=part, topology=part, optimizer=part, trainer=part, backend=part,
        epochs=1, batch_size=1, threads=1, seed=0, suite="odd", axes={"seed": 0},
    )  # fmt: skip
