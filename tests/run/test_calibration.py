"""Known allocations, measured by the supervisor and the meter of every run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sparsebench.cli.doctor import complaint, print_calibration
from sparsebench.core.worker import memory
from sparsebench.registry import Plugins
from sparsebench.run import calibration
from sparsebench.run.calibration import MIB, Reading, cases

GIB = 2**30


def readings(plugins: Plugins, chosen: list[str], tmp_path: Path) -> dict[str, Reading]:
    some = [case for case in cases(4 * GIB) if case.how in chosen or case.parent]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "cases", lambda available: some)
        found = list(calibration.calibrate(plugins, tmp_path))
    return {f"{reading.case.name} {reading.case.mib}": reading for reading in found}


@pytest.mark.skipif(not memory.HAS_PROC, reason="exact on Linux only")
def test_known_allocations_are_measured_within_bounds(plugins: Plugins, tmp_path: Path) -> None:
    """24, 100 and 400 MiB; a spike, a child, a killed trial; a parent that holds 1 GiB."""
    found = readings(plugins, ["held", "spike", "child", "killed"], tmp_path)
    assert {reading.known // MIB for reading in found.values()} == {24, 100, 400}
    assert found["held, supervisor holds 1024 MiB 100"].case.parent == 1024
    for name, reading in found.items():
        assert reading.within, (name, reading)
        assert reading.measured is not None
        assert abs(reading.measured - reading.known) <= max(0.01 * reading.known, 2 * MIB)


def test_sizes_shrink_with_the_memory_there_is() -> None:
    assert [case.mib for case in cases(2 * GIB)] == [24, 100, 400, 100, 100, 100]
    assert [case.mib for case in cases(GIB)] == [12, 50, 200, 50, 50, 50]
    assert [case.parent for case in cases(GIB)][-1] == 512


def test_what_is_out_of_bounds_is_said_and_exits_with_1(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = cases(4 * GIB)[1]
    good = Reading(held, 100 * MIB, 102 * MIB, "ok")
    bad = replace(good, measured=103 * MIB)
    none = replace(good, measured=None, status="error", detail="no more")
    assert (good.within, bad.within, none.within) == (True, False, False)
    assert complaint(bad) == (
        "held, 100.0 MiB: measured 3.0 MiB more, bounds are 2.0 MiB: "
        "net peaks of trials on this machine are not to be trusted"
    )
    assert complaint(none).endswith("nothing was measured, the trial ended error: no more")
    for chosen, code in (([good], 0), ([good, bad], 1), ([none], 1)):
        monkeypatch.setattr(calibration, "calibrate", lambda *given, chosen=chosen: iter(chosen))
        assert print_calibration(Path(), "text") == code
        table = capsys.readouterr()
        assert table.out.count("yes") == (1 if good in chosen else 0)
        assert ("warning: held" in table.err) == (code == 1)
        assert print_calibration(Path(), "json") == code
        assert json.loads(capsys.readouterr().out)["within"] == (code == 0)
