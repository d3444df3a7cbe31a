"""`sparsebench doctor --calibrate`: known against measured, in a table."""

from __future__ import annotations

from pathlib import Path

import typer

from sparsebench.cli.listing import Row, print_json, print_rows
from sparsebench.cli.options import Format
from sparsebench.discovery import load_plugins
from sparsebench.machine import available_memory
from sparsebench.run import calibration
from sparsebench.units import brief_size

MEANS = {
    "net_peak_bytes": "net peaks of trials on this machine are not to be trusted",
    "peak_tree_pss_bytes": "what trials with child processes take is not to be trusted",
    "peak_rss_bytes": "peaks of trials that were killed are not to be trusted",
}


def print_calibration(data_dir: Path, format: Format, as_json: bool) -> int:
    """The exit code: 0, or 1 if a reading is out of bounds."""
    available = available_memory()
    if available < calibration.COMFORTABLE:
        typer.echo(
            f"note: {brief_size(available)} of memory are available, so all sizes are smaller",
            err=True,
        )
    readings = list(calibration.calibrate(load_plugins((), data_dir), data_dir, available))
    rows = [row(reading) for reading in readings]
    if as_json or format == "json":
        within = all(reading.within for reading in readings)
        print_json({"readings": rows, "within": within})
    else:
        print_rows([_shown(one) for one in rows], format)
    wrong = [reading for reading in readings if not reading.within]
    for reading in wrong:
        typer.echo(f"warning: {complaint(reading)}", err=True)
    return 1 if wrong else 0


def row(reading: calibration.Reading) -> dict[str, object]:
    return {
        "trial": reading.case.name,
        "measure": reading.case.quantity,
        "known_bytes": reading.known,
        "measured_bytes": reading.measured,
        "error_bytes": reading.error,
        "within": reading.within,
    }


def complaint(reading: calibration.Reading) -> str:
    """What a reading out of bounds means, in a line."""
    name = f"{reading.case.name}, {brief_size(reading.known)}"
    if reading.error is None:
        detail = f": {' '.join(reading.detail.split())}" if reading.detail else ""
        return f"{name}: nothing was measured, the trial ended {reading.status}{detail}"
    bound = brief_size(int(max(calibration.SHARE * reading.known, calibration.FLOOR)))
    how = "more" if reading.error > 0 else "less"
    off = brief_size(abs(reading.error))
    return f"{name}: measured {off} {how}, bounds are {bound}: {MEANS[reading.case.quantity]}"


def _shown(one: Row) -> Row:
    """With units for people, and `no` where it is out of bounds."""
    error = one["error_bytes"]
    assert error is None or isinstance(error, int)
    sign = "-" if error is not None and error < 0 else ""
    measured = one["measured_bytes"]
    return {
        "trial": one["trial"],
        "measure": one["measure"],
        "known": brief_size(one["known_bytes"]),
        "measured": "nothing" if measured is None else brief_size(measured),
        "error": "" if error is None else f"{sign}{abs(error) / 2**20:.2f} MiB",
        "within?": "yes" if one["within"] else "no",
    }
