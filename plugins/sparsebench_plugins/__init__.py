"""The built-in plugins. They enter by the same hooks as everyone's.

Only names stand here; what they name is imported where it is used.
"""

from __future__ import annotations

from pathlib import Path

from sparsebench.hookspecs import AddFolder, Register, hookimpl

_HERE = "sparsebench_plugins"


@hookimpl
def register_datasets(register: Register, data_dir: Path) -> None:
    from sparsebench_plugins.datasets import registration

    registration.register_all(register, data_dir)


@hookimpl
def register_suites(add_folder: AddFolder) -> None:
    """The suites beside the source tree, else those that travel in the wheel."""
    here = Path(__file__).resolve().parent
    beside = here.parent.parent / "suites"
    add_folder(beside if beside.is_dir() else here / "suites")


@hookimpl
def register_executors(register: Register) -> None:
    register(
        "local",
        f"{_HERE}.executors.local:Local",
        summary="a process of this machine per trial",
    )
