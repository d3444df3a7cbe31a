"""From records to costs, and to what is said of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from invented_records import SAMPLES, keep, parallel, record, sequential, trial
from sparsebench_parallel.scaling.command import ScalingError, counts, parse_options
from sparsebench_parallel.scaling.measured_costs import costs_of, network_name, ways
from sparsebench_parallel.scaling.report import ScalingOptions, report

from sparsebench.cli import main
from sparsebench.errors import NothingMatched

# 2 ms + 0.5 ms + 0.2 ms + 2 x 20 us, 100 times, and 10 ms for the topology with 0.1 ms to send it
ONE = 100 * 2.74e-3 + 0.01 + 1e-4 + 2e-5


def asynchronous():
    return [sequential(), parallel("wasap", 1, ONE), parallel("wasap", 2, 0.15, staleness_mean=0.8),
            parallel("wasap", 4, 0.08, staleness_mean=2.5)]  # fmt: skip


def test_costs_are_those_of_one_worker_alone():
    (way,) = ways(asynchronous())
    costs = costs_of(way)
    assert costs.samples == SAMPLES
    assert costs.steps == 100
    assert costs.step_seconds == pytest.approx(2e-3)
    assert costs.serve_seconds == 5e-4
    assert costs.up_bytes == costs.down_bytes == 1e5
    assert costs.topology_seconds == pytest.approx(0.01)
    more = [parallel("wasap", 1, ONE, worker_step_seconds=2e-3),
            parallel("wasap", 4, 99.0, worker_step_seconds=77.0)]  # fmt: skip
    assert costs_of(ways(more)[0]) == costs


def test_what_nobody_accounts_for_is_the_workers():
    (way,) = ways([parallel("wasap", 1, ONE + 0.05)])
    assert costs_of(way).step_seconds == pytest.approx(2e-3 + 0.05 / 100)


def test_the_cell_it_is_made_of_comes_out_as_measured():
    found = report(ways(asynchronous()), ScalingOptions(workers=(1, 2), servers=(1,)))
    first, second, third = found.validation
    assert first["calibrated on"] == "yes"
    assert first["error %"] == pytest.approx(0, abs=0.1)
    assert second["calibrated on"] == third["calibrated on"] == ""
    assert second["error %"] == round(100 * (second["predicted s"] / 0.15 - 1), 1)
    assert second["staleness"] == 0.8
    assert 0.5 < second["predicted staleness"] <= 1


def test_the_curve_bends_where_the_words_say():
    """A cycle of 2.74 ms over 0.5 ms: 5.5 workers keep the server busy."""
    found = report(ways(asynchronous()), ScalingOptions(workers=(1, 2, 4, 8, 16), servers=(1, 4)))
    curve = {(row["servers"], row["workers"]): row["epoch s"] for row in found.curve}
    assert curve[1, 1] / curve[1, 4] > 3.2
    assert curve[1, 8] / curve[1, 16] < 1.02
    assert curve[4, 8] / curve[4, 16] > 1.5
    one, four, error = found.words
    start = (
        "digits 100-100, wasap, 1 server: no pause from 5.5 workers on, as an update takes 500 us"
    )
    assert one.startswith(start)
    assert "4 servers: no pause from 19 workers on, as an update takes 125 us of each" in four
    assert error.startswith("Over the 2 cells that the model has not seen")


def test_bytes_of_a_synchronous_step_are_those_of_all_workers():
    records = [parallel("wassp", 2, 0.2, bytes_sent_per_step=4e5, staleness_mean=None),
               parallel("wassp", 4, 0.1, bytes_sent_per_step=8e5, staleness_mean=None)]  # fmt: skip
    (way,) = ways(records)
    assert way.synchronous
    assert costs_of(way).up_bytes == 1e5


def test_another_network_another_machine_another_trainer_another_way():
    other = record({"name": "wasap", "workers": 1}, ONE, machine={"id": "cd34", "usable_cores": 2})
    found = ways([*asynchronous(), other, parallel("wassp", 1, ONE, staleness_mean=None)])
    assert [(way.trainer, len(way.cells), way.alone is not None) for way in found] == [
        ("wasap", 3, True),
        ("wasap", 1, False),
        ("wassp", 1, True),
    ]
    assert [way.synchronous for way in found] == [False, False, True]


def test_a_network_is_named_by_what_it_needs():
    trainer = {"name": "wasap", "workers": 1}
    digits, dense = trial(trainer), trial(trainer, topology={"name": "set", "epsilon": 40})
    wide = trial(trainer, dataset={"name": "wide"}, model={"name": "mlp", "hidden": [9]})
    assert network_name(wide, [digits, wide]) == "wide 9"
    assert network_name(digits, [digits, wide]) == "digits 100-100"
    assert network_name(dense, [digits, dense, wide]) == "digits 100-100 set (epsilon=40)"


def test_seeds_are_one_cell():
    records = [record({"name": "wasap", "workers": 1}, epoch, seed)
               for seed, epoch in enumerate((0.2, 0.4))]  # fmt: skip
    ((way,)) = ways(records)
    assert way.first.mean("epoch_seconds") == pytest.approx(0.3)


def test_without_such_trials_a_line_says_what_to_run():
    with pytest.raises(NothingMatched, match=r"trainers there are: sequential; run some with"):
        ways([sequential()])


# --- what is asked --------------------------------------------------------------------


def test_counts_with_dots_double():
    assert counts("1,2,4,...,1000", "--workers") == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
    assert counts("3, 1, 3", "--workers") == (1, 3)
    assert counts("5,...,40", "--servers") == (5, 10, 20, 40)


def test_speeds_have_units():
    found = parse_options("1", "1", "4", "50us", "1GB/s")
    assert (found.cores, found.latency, found.bandwidth) == (4.0, pytest.approx(5e-5), 1e9)
    assert parse_options("1", "1", "each", None, None).cores is None


@pytest.mark.parametrize(
    ("option", "given"),
    [("workers", "1,x"), ("workers", "1,2,..."), ("workers", "0"), ("servers", "...,4"),
     ("cores", "many"), ("latency", "5 parsecs"), ("bandwidth", "fast")],
)  # fmt: skip
def test_what_cannot_be_read_names_its_option(option, given):
    words = {"workers": "1", "servers": "1", "cores": "each", "latency": None, "bandwidth": None}
    with pytest.raises(ScalingError, match=f"--{option}"):
        parse_options(**{**words, option: given})


# --- the verb -------------------------------------------------------------------------


def scaling(capsys, folder, *words):
    with pytest.raises(SystemExit) as ended:
        main(["scaling", *words, "--store", str(folder)])
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


def test_the_verb_prints_tables_and_sentences(tmp_path, capsys):
    run = keep(tmp_path / "store", asynchronous())
    words = ("--workers", "1,...,8", "--servers", "1")
    code, out, _ = scaling(capsys, tmp_path / "store", run, *words)
    assert code == 0
    assert "The model against what was measured" in out
    assert "no pause from 5.5 workers on" in out
    code, out, _ = scaling(capsys, tmp_path / "store", run, "--format", "md")
    assert "| network | trainer | workers | cores | n | epoch s |" in out
    code, out, _ = scaling(capsys, tmp_path / "store", run, "--json", "--latency", "1ms")
    found = json.loads(out)
    assert len(found["validation"]) == 3
    assert {row["workers"] for row in found["curve"]} >= {1, 64, 1000}
    assert found["costs"][0]["latency us"] == pytest.approx(1000)


def test_a_run_of_one_process_each_is_one_line(tmp_path, capsys):
    run = keep(tmp_path / "store", [sequential()])
    code, out, err = scaling(capsys, tmp_path / "store", run)
    assert (code, out) == (5, "")
    assert err.startswith("error: scaling: no trial of these runs")
    assert len(err.splitlines()) == 1


def test_nothing_heavy_is_imported(tmp_path):
    run = keep(tmp_path / "store", asynchronous())
    code = (
        "import sys; from sparsebench.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'numba', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "scaling", run, "--store", str(tmp_path / "store")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "no pause" in done.stdout
    assert done.stderr.strip() == "heavy: []"
