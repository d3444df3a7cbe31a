"""Every kind of fault once, with `make test-all`; `make faults` tries hundreds."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign import END, Kind, Outcome, kinds, run_kind, table, write_into

ELSEWHERE = frozenset(
    f"trial-{how}"
    for how in ("raises", "nan", "segfault", "aborts", "killed", "leaves", "leaves_quietly",
                "allocates", "spikes", "stays", "loops", "prints", "closes_stdout")
)  # fmt: skip
"""How such a trial ends is in tests/run/test_supervisor.py already."""

ELSEWHERE |= {"supervisor-SIGTERM", "supervisor-SIGHUP"}  # as SIGINT, and test_exit_codes.py

ONCE = {
    kind.name: kind
    for kind in kinds()
    if not kind.name.startswith("disk-") and kind.name not in ELSEWHERE
}
SPREAD = {"disk-write": 2, "disk-fsync": 1, "disk-replace": 1, "disk-mkdir": 1, "disk-open": 1,
          "disk-small": 1}  # fmt: skip


# `make test` has a killed supervisor in tests/run/test_checkpoints.py, full disks in tests/store
# and in tests/run/test_session.py.


@pytest.mark.minutes
@pytest.mark.parametrize("name", ONCE)
def test_survived_once(name: str, tmp_path: Path) -> None:
    survived(run_kind(ONCE[name], tmp_path, seed=1, count=1))


@pytest.mark.minutes
@pytest.mark.parametrize("name", SPREAD)
def test_a_full_disk_here_and_there(name: str, tmp_path: Path) -> None:
    (kind,) = (kind for kind in kinds() if kind.name == name)
    survived(run_kind(kind, tmp_path, seed=1, count=SPREAD[name]))


def survived(outcome: Outcome) -> None:
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert not outcome.why
    assert outcome.survived == outcome.tried > 0


def test_what_is_left_out_here_is_a_kind() -> None:
    assert {kind.name for kind in kinds()} >= ELSEWHERE


def test_a_loss_is_reported(tmp_path: Path) -> None:
    def lost(*given: object) -> int:
        raise AssertionError("a result is gone")

    outcome = run_kind(Kind("x", "x happens", 4, lost), tmp_path, seed=0, count=4)
    assert (outcome.tried, outcome.survived, outcome.why) == (
        4,
        0,
        "AssertionError: a result is gone",
    )
    assert "| x happens | 4 | 0 |" in table([outcome])


def test_the_whole_campaign_is_large_enough() -> None:
    """At least 500, the calls of a disk not counted: how many there are is seen only in a run."""
    assert sum(kind.times for kind in kinds() if not kind.name.startswith("disk-")) >= 500


def test_the_table_replaces_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- campaign: begin -->\nold\n{END}after\n")
    write_into(page, "new\n")
    assert page.read_text() == f"before\n<!-- campaign: begin -->\nnew\n{END}after\n"
