"""`sparsebench doctor`: what this machine is, and what could disturb a measurement on it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench import machine
from sparsebench.cli import options as o
from sparsebench.cli.config import read_config
from sparsebench.cli.listing import print_json, print_rows, print_tables
from sparsebench.core.worker import threading_layer
from sparsebench.core.worker.denormals import flushes, flushing_to_zero
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, printable
from sparsebench.run import machine_setup, noise, surroundings
from sparsebench.run.mpi_check import say_hello
from sparsebench.units import brief_size

PACKAGES = (
    "numpy", "scipy", "numba", "threadpoolctl", "pandas", "scikit-learn", "matplotlib", "pluggy",
    "typer", "mpi4py",
)  # fmt: skip
EXTRAS = {"pyarrow": "parquet export"}


def command(
    store: o.Store = o.DEFAULT_STORE,
    data: o.Data = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure trials that take a known amount of memory."),
    ] = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Describe this machine and installation, and warn about noise.

    Exits with 0; with --calibrate, with 1 if memory is measured wrongly here.
    """
    data_dir = machine.data_directory(data)
    if calibrate:
        from sparsebench.cli.calibrating import print_calibration

        raise typer.Exit(print_calibration(data_dir, format, json))
    heard = say_hello()
    facts = {**_facts(store, data_dir), "mpiexec": str(heard.mpiexec), "mpi": heard.told}
    warnings = [
        *_noise(facts),
        *noise.now(),
        *machine_setup.warnings(store),
        *_config(),
        *_broken(data_dir),
        *_missing(data_dir),
        *([f"no training by several processes: {heard.wrong}"] if heard.wrong else []),
    ]
    if json or format == "json":
        print_json({"facts": facts, "warnings": warnings})
        return
    shown = {
        key: brief_size(v) if key.endswith("_bytes") and v is not None else v
        for key, v in facts.items()
    }
    rows = [{"what": key, "found": value} for key, value in shown.items()]
    if format == "md":
        print_tables([rows, [{"warning": line} for line in warnings]], format)
        return
    print_rows(rows, format)
    for line in warnings:
        typer.echo(f"warning: {printable(line)}")


def _facts(store: Path, data_dir: Path) -> dict[str, Any]:
    load = os.getloadavg()
    return {
        "sparsebench": importlib.metadata.version("sparsebench"),
        **machine.describe(),
        "available_memory_bytes": machine.available_memory(),
        "load_average": round(load[0], 2),
        "turbo": surroundings.turbo(),
        "smt": surroundings.smt(),
        "swap_used_bytes": surroundings.swap_used(),
        "store_filesystem": surroundings.filesystem(store),
        "threading_layer": threading_layer.expected(),
        "flush_to_zero": _can_flush_to_zero(),
        **{name: _version(name) for name in (*PACKAGES, *EXTRAS)},
        "store": str(store.resolve()),
        "data_directory": str(data_dir),
        "cache_directory": str(machine.cache_directory()),
    }


def _can_flush_to_zero() -> bool:
    with flushing_to_zero():
        return flushes()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _noise(facts: dict[str, Any]) -> Iterator[str]:
    refusal = machine.refuse_unmeasurable_system()
    if refusal is not None:
        yield refusal
    if facts["load_average"] > 0.5:
        yield (
            f"the load average is {facts['load_average']}: something else runs here, "
            "and times will be noisy"
        )
    if not facts["flush_to_zero"]:
        yield "denormal numbers cannot be made zero here: training may slow down where they occur"
    if facts["available_memory_bytes"] < 2 * 2**30:
        yield f"only {brief_size(facts['available_memory_bytes'])} of memory are available"


def _config() -> Iterator[str]:
    try:
        read_config()
    except SparsebenchError as error:
        yield f"the user config is not used: {error}"


def _broken(data_dir: Path) -> Iterator[str]:
    try:
        plugins = load_plugins((), data_dir)
    except SparsebenchError as error:
        yield f"plugins do not load: {error}"
        return
    for info in plugins.infos:
        if info.error is not None:
            yield f"plugin {info.name!r} of {info.origin} does not load: {info.error}"


def _missing(data_dir: Path) -> Iterator[str]:
    for name, purpose in EXTRAS.items():
        if importlib.util.find_spec(name) is None:
            yield f"{name} is not installed: no {purpose}"
    if not data_dir.is_dir():
        yield f"the data directory {data_dir} does not exist: real data sets will be skipped"
