"""`--shard` on `run` and `plan`, what `merge` makes of the parts, and `--address`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_words import Cli

from sparsebench.store.store import Store


@pytest.mark.minutes
def test_three_shards_merged_are_the_whole(cli: Cli, folder: Path) -> None:
    epoch = ("--set", "epochs=1")
    whole = [trial["id"] for trial in cli("plan", "tiny.toml", *epoch, "--json").json["trials"]]
    planned = []
    for number in (1, 2, 3):
        words = ("tiny.toml", *epoch, "--shard", f"{number}/3")
        plan = [trial["id"] for trial in cli("plan", *words, "--json").json["trials"]]
        dry = cli("run", *words, "--dry-run", "--json").json["trials"]
        assert plan == [trial["id"] for trial in dry]
        done = cli(
            "run", *words, "--no-audit", "--no-plan", "--store", f"s{number}",
            "--json",
        )  # fmt: skip
        assert (done.code, done.json["counts"]) == (0, {"ok": len(plan)}), done.err
        planned += plan
        (manifest,) = Path(folder, f"s{number}", "runs").glob("*/manifest.json")
        assert json.loads(manifest.read_text())["shard"] == f"{number}/3"
    assert sorted(planned) == sorted(whole)
    merged = cli("merge", "s1", "s2", "s3", "--json")
    assert (merged.code, merged.json["attempts"], merged.json["runs"]) == (0, 4, 3)
    assert Store(folder / ".sparsebench").trial_ids() == sorted(whole)
    again = cli("run", "tiny.toml", *epoch, "--json")
    assert (again.code, again.json["reused"]) == (0, 4)
    report = cli("report", "latest")
    assert report.code == 0
    assert "4 trials on wine (2 topologies, 1 backend, 2 seeds): all 4 finished" in report.out


@pytest.mark.parametrize("text", ["0/8", "9/8", "x"])
def test_a_shard_that_is_none_is_a_line(cli: Cli, text: str) -> None:
    for verb in ("run", "plan"):
        done = cli(verb, "tiny.toml", "--shard", text)
        assert done.code == 2
        assert done.err.startswith(f"error: --shard {text}: expected NUMBER/COUNT, such as 2/8")


def test_a_shard_of_nothing(cli: Cli) -> None:
    done = cli("run", "tiny.toml", "--shard", "8/8")
    assert done.code == 5
    assert "shard 8/8 of tiny.toml: it has only 4 trials" in done.err


def test_an_address_needs_an_executor_that_takes_one(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = (
        "error: --address tcp://x:1 (or SPARSEBENCH_ADDRESS): executor 'local' takes none; those "
        "that do: dask; give one with --executor\n"
    )
    done = cli("run", "tiny.toml", "--address", "tcp://x:1")
    assert (done.code, done.err) == (2, line)
    monkeypatch.setenv("SPARSEBENCH_ADDRESS", "tcp://x:1")
    done = cli("run", "tiny.toml", "--dry-run")
    assert (done.code, done.err) == (2, line)
