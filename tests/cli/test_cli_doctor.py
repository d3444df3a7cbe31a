from __future__ import annotations

import pytest
from cli_words import Cli

from sparsebench.run import calibration
from sparsebench.run.calibration import MIB, Case, Reading


@pytest.mark.minutes
def test_doctor_warns_of_what_run_would_tell(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "this machine is not quiet: it is swapping; times will be noisy"
    monkeypatch.setattr("sparsebench.run.noise.now", lambda: [line])
    assert f"warning: {line}\n" in cli("doctor").out
    done = cli("run", "tiny.toml", "--quick")
    notes = [at for at, said in enumerate(done.err.splitlines()) if said == f"note: {line}"]
    starts = [at for at, said in enumerate(done.err.splitlines()) if said.startswith("[1/")]
    assert len(notes) == 1
    assert notes[0] < starts[0]


def test_doctor_names_a_variable_that_hurts(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    found = cli("doctor", "--json").json
    assert "NUMBA_BOUNDSCHECK is set: every index is checked" in found["warnings"]
    assert found["facts"]["flush_to_zero"] in (True, False)
    assert found["facts"]["threading_layer"]


def test_a_calibration_has_its_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading(Case("held", "held", 24, "net_peak_bytes"), 24 * MIB, 30 * MIB, "ok")
    monkeypatch.setattr(calibration, "calibrate", lambda *given: iter([reading]))
    done = cli("doctor", "--calibrate", "--json")
    assert done.code == 1
    assert done.json["readings"] == [
        {"trial": "held", "measure": "net_peak_bytes", "known_bytes": 24 * MIB,
         "measured_bytes": 30 * MIB, "error_bytes": 6 * MIB, "within": False}
    ]  # fmt: skip
    assert "net peaks of trials on this machine are not to be trusted" in done.err
