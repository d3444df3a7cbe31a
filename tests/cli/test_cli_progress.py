"""What is shown while a run goes on."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from sparsebench.cli.output import as_text, result_rows
from sparsebench.cli.progress import Live, Plain, listener
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.run.options import Summary
from sparsebench.store.record import Record


def trial(seed: int = 0) -> Trial:
    part: dict[str, Any] = {"name": "x"}
    return Trial(
        dataset=part, model=part, topology=part | {"prune": None}, optimizer=part, trainer=part,
        backend=part, epochs=10, batch_size=1, threads=1, seed=seed, axes={"seed": seed},
    )  # fmt: skip


def record(seed: int, status: Status = Status.OK, **measures: float) -> Record:
    return Record(trial=trial(seed), attempt=1, status=status, measures=dict(measures))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert type(listener()) is Plain
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert type(listener()) is Live
    for name, value in (("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")):
        with monkeypatch.context() as context:
            context.setenv(name, value)
            assert type(listener()) is Plain


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Plain() as shown:
        shown.started("r", 2)
        shown.compiling(["numba-csr"])
        shown.trial_started(trial(), 1)
        shown.progress(trial(), {"epoch": 3})
        shown.trial_ended(trial(), record(0, test_accuracy=0.5, wall_seconds=90.0), False)
        shown.trial_ended(trial(1), record(1, Status.TIMEOUT), True)
        shown.note("look here")
        shown.ended(Summary("r", Path(), [], 1, {"ok": 1, "timeout": 1}, 1))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "run r: 2 trials",
        "compiling numba-csr, once for this machine and code: up to a minute",
        "[1/2] seed=0",
        "[1/2] seed=0: ok, accuracy 0.5000, 1m30s",
        "[2/2] seed=1: timeout [reused]",
        "note: look here",
        "run r: 1 ok, 1 timeout; 1 failed before: --rerun failed runs them again",
    ]


def test_an_interrupted_run_says_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with Plain() as shown:
        shown.started("r", 24)
        shown.ended(Summary("r", Path(), [record(0), record(1)], 0, {"ok": 2}, 130))
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "run r: 2 ok; 22 not begun; run the same command again to go on"


def test_the_bar_says_what_goes_on_before_the_first_trial() -> None:
    shown = Live()
    shown.began = 0.0
    assert shown.bars(1.0) == [("preparing", 0.0, "1.0s")]
    shown.started("r", 2)
    shown.compiling(["numba-csr"])
    shown.waiting()
    _, compiling = shown.bars(3.0)
    assert compiling == ("compiling numba-csr, once for this machine and code", 0.0, "3.0s")
    shown.trial_started(trial(), 1)
    assert len(shown.bars(4.0)) == 2
    assert not any("compiling" in name for name, _, _ in shown.bars(4.0))


def test_live_bars() -> None:
    shown = Live()
    shown.started("r", 4)
    shown.trial_ended(trial(1), record(1), True)
    shown.trial_started(trial(), 2)
    _, began, _ = shown.running[trial().id]
    assert shown.bars(began + 10) == [
        ("all", 0.25, "1/4 trials"),
        ("seed=0", 0.0, "starting, 10.0s"),
    ]
    shown.progress(
        trial(), {"epoch": 5, "epochs": 10, "loss": 0.25, "accuracy": 0.5, "rss_bytes": 2**20}
    )
    assert shown.bars(began + 10)[1] == (
        "seed=0", 0.5, "epoch 5/10, loss 0.2500, accuracy 0.5000, 1.0 MiB, ETA 10.0s",
    )  # fmt: skip


def test_live_draws_and_leaves_the_lines_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Live() as shown:
        shown.started("r", 1)
        shown.trial_started(trial(), 1)
        shown.progress(trial(), {"epoch": 1, "epochs": 10, "loss": float("nan")})
        shown.trial_ended(trial(), record(0), False)
    assert "run r: 1 trials" in screen.getvalue()
    assert "[1/1] seed=0: ok" in screen.getvalue()


def test_result_rows_are_means_over_the_seeds_that_ended_well() -> None:
    rows = result_rows(
        [
            record(0, test_accuracy=0.5, wall_seconds=1.0, net_peak_bytes=2**20),
            record(1, test_accuracy=0.7, wall_seconds=3.0, net_peak_bytes=3 * 2**20),
            record(2, Status.TIMEOUT, test_accuracy=0.0),
        ]
    )
    assert rows == [
        {
            "cell": "backend=x topology=x",
            "status": "2 ok, 1 timeout",
            "accuracy": "0.6000 ± 0.1414",
            "seconds": "2.0",
            "net peak MiB": "2.0",
        }
    ]
    (row,) = result_rows([record(seed, test_accuracy=0.5) for seed in range(3)])
    assert row["accuracy"] == "0.5000"


@pytest.mark.parametrize(("width", "lines"), [(80, 2), (25, 3), (15, 5)])
def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int, lines: int) -> None:
    """Wide: a line per row. Narrower: cells are wrapped between words. Too narrow for the words: a
    block per row. A column without values is left out."""
    rows = [
        {"name": "scipy-csr", "status": "3 ok", "result": "0.9573 ± 0.0021", "note": ""},
    ]
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", str(width))
    text = as_text([*rows, *rows])
    assert max(map(len, text.splitlines())) <= max(width, 20)
    assert "note" not in text
    assert ("\n\n" in text) == (width == 15)
    assert len(as_text(rows).splitlines()) == lines
