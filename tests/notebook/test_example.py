"""The example notebook, cell by cell: as plain Python, and in a real kernel where there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
    return found


def test_no_outputs_are_committed() -> None:
    for cell in cells():
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    """What is left after its code cells have run one after the other."""
    known: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells():
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), known)
    return known


@pytest.mark.minutes
def test_its_cells_run_as_python(namespace: dict[str, Any]) -> None:
    assert set(namespace["trials"]["status"]) == {"ok"}
    assert len(namespace["trials"]) == 8
    assert namespace["verdict"].exit_code == 0
    assert "## Claims" in namespace["run"].report()


@pytest.mark.minutes
@pytest.mark.filterwarnings("default")  # of the libraries of the kernel's client
def test_it_runs_in_a_kernel(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        book, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [o for cell in book.cells if cell.cell_type == "code" for o in cell.outputs]
    html = ["".join(o.data["text/html"]) for o in shown if "text/html" in o.get("data", {})]
    assert any("8/8 trials" in page for page in html), "the progress of the run"
    assert any("Static against SET on wine" in page for page in html), "the run"
    assert sum("image/png" in o.get("data", {}) for o in shown) == 2
    assert any("PASSED" in page for page in html), "the comparison"
