"""`sparsebench doctor`: describes this machine and warns about disturbances of measurements."""

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
from sparsebench.cli.output import print_json, print_rows, print_tables, wrapped
from sparsebench.core.worker import limits
from sparsebench.core.worker.denormals import flushes, flushing_to_zero
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError, printable
from sparsebench.folders import cache_directory
from sparsebench.run import calibration, machine_facts, machine_warnings, noise
from sparsebench.run.mpi_check import check_mpi
from sparsebench.run.user_config import read_config
from sparsebench.units import brief_size

PACKAGES = (
    "numpy", "scipy", "numba", "threadpoolctl", "pandas", "scikit-learn", "matplotlib", "pluggy",
    "typer", "mpi4py", "pyarrow",
)  # fmt: skip
EXTRAS = {"pyarrow": "parquet export"}

DISTRUST = {
    "net_peak_bytes": "net peaks of trials on this machine are not to be trusted",
    "peak_tree_pss_bytes": "what trials with child processes take is not to be trusted",
    "peak_rss_bytes": "peaks of trials that were killed are not to be trusted",
}
"""The warning for a measure whose calibration is out of bounds."""


def doctor(
    store: o.Store,
    data: o.Data,
    calibrate: Annotated[
        bool, o.flag("--calibrate", "Measure trials that take a known amount of memory.")
    ] = False,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Describe this machine and warn about noise.

    Exits with 0; with --calibrate, with 1 if memory is measured wrongly here.
    """
    if calibrate:
        raise typer.Exit(print_calibration(data, format))
    mpi = check_mpi()
    with flushing_to_zero():
        can_flush_to_zero = flushes()
    facts = {
        "sparsebench": importlib.metadata.version("sparsebench"),
        **machine.describe(),
        "available_memory_bytes": machine.available_memory(),
        "load_average": round(os.getloadavg()[0], 2),
        "turbo": machine_facts.turbo(),
        "smt": machine_facts.smt(),
        "swap_used_bytes": machine_facts.swap_used(),
        "store_filesystem": machine_facts.filesystem(store),
        "threading_layer": limits.expected_layer(),
        "flush_to_zero": can_flush_to_zero,
        **{name: _version(name) for name in PACKAGES},
        "store": str(store.resolve()),
        "data_directory": str(data),
        "cache_directory": str(cache_directory()),
        "mpiexec": str(mpi.mpiexec),
        "mpi": mpi.found,
    }
    warnings = [*_noise(facts), *noise.now(), *machine_warnings.warnings(store), *_unusable(data)]
    if mpi.wrong:
        warnings.append(f"no training by several processes: {mpi.wrong}")
    rows = [{"what": key, "found": _shown(key, value)} for key, value in facts.items()]
    if format == "text":
        print_rows(rows)
        for line in warnings:
            typer.echo(wrapped(f"warning: {printable(line)}"))
    else:
        lines = [{"warning": line} for line in warnings]
        print_tables([rows, lines], format, json={"facts": facts, "warnings": warnings})


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


def _unusable(data_dir: Path) -> Iterator[str]:
    """Yield a line for configuration and plugins that do not load, and for missing extras and
    data."""
    try:
        read_config()
    except SparsebenchError as error:
        yield f"the user config is not used: {error}"
    try:
        for info in load_plugins((), data_dir).infos:
            if info.error is not None:
                yield f"plugin {info.name!r} of {info.origin} does not load: {info.error}"
    except SparsebenchError as error:
        yield f"plugins do not load: {error}"
    for name, purpose in EXTRAS.items():
        if importlib.util.find_spec(name) is None:
            yield f"{name} is not installed: no {purpose}"
    if not data_dir.is_dir():
        yield f"the data directory {data_dir} does not exist: real data sets will be skipped"


def print_calibration(data_dir: Path, format: str) -> int:
    """Print known and measured memory; return exit code 1 if a reading is out of bounds, else 0."""
    available = machine.available_memory()
    if available < calibration.COMFORTABLE:
        note = f"note: {brief_size(available)} of memory are available, so all sizes are smaller"
        typer.echo(note, err=True)
    readings = list(calibration.calibrate(load_plugins((), data_dir), data_dir, available))
    rows = [
        {
            "trial": reading.case.name,
            "measure": reading.case.quantity,
            "known_bytes": reading.known,
            "measured_bytes": reading.measured,
            "error_bytes": reading.error,
            "within": reading.within,
        }
        for reading in readings
    ]
    wrong = [reading for reading in readings if not reading.within]
    if format == "json":
        print_json({"readings": rows, "within": not wrong})
    else:
        print_rows([{k.removesuffix("_bytes"): _shown(k, v) for k, v in r.items()} for r in rows],
                   format)  # fmt: skip
    for reading in wrong:
        typer.echo(f"warning: {complaint(reading)}", err=True)
    return 1 if wrong else 0


def _shown(key: str, value: Any) -> Any:
    """The value as shown in a table: bytes (of a key that ends with `_bytes`) with a unit, truth
    values as yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return brief_size(value) if key.endswith("_bytes") and value is not None else value


def complaint(reading: calibration.Reading) -> str:
    """The warning about a reading out of bounds."""
    name = f"{reading.case.name}, {brief_size(reading.known)}"
    if reading.error is None:
        detail = f": {' '.join(reading.detail.split())}" if reading.detail else ""
        return f"{name}: nothing was measured, the trial ended {reading.status}{detail}"
    bound = brief_size(int(max(calibration.SHARE * reading.known, calibration.FLOOR)))
    how = "more" if reading.error > 0 else "less"
    off = brief_size(abs(reading.error))
    return f"{name}: measured {off} {how}, bounds are {bound}: {DISTRUST[reading.case.quantity]}"
