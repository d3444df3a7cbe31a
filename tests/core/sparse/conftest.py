"""Every law holds for both ways: compiled loops, and numpy for small layers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sparsebench.core.sparse import small_layers


@pytest.fixture(autouse=True, scope="module", params=["compiled", "numpy"])
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_layers, "MOST", 0 if request.param == "compiled" else 2**15)
        yield
