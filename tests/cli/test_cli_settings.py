from __future__ import annotations

from pathlib import Path

from cli_words import Cli


def test_show_tells_the_settings_a_trial_ran_under(cli: Cli, folder: Path) -> None:
    assert cli("run", "tiny.toml", "--quick").code == 0
    trials = cli("plan", "tiny.toml", "--quick", "--json").json["trials"]
    shown = cli("show", trials[0]["id"]).out
    assert "setting flush_to_zero" in shown
    assert "setting flush_to_zero_in main" in shown
    assert "setting blas 0 num_threads" in shown


def test_doctor_tells_what_trials_will_run_under(cli: Cli) -> None:
    facts = cli("doctor", "--json").json["facts"]
    assert facts["flush_to_zero"] in (True, False)
    assert facts["threading_layer"]
