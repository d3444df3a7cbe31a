import math

import pytest
from records import MACHINE, PRUNED, SET, STATIC, FakeRun, make_record, make_trial, realistic

from sparsebench.analysis.number_format import one, p_value, percent, ratio, seconds, size, spread
from sparsebench.analysis.report_data import report_data
from sparsebench.analysis.statistics import Spread
from sparsebench.analysis.trial_settings import settings
from sparsebench.report import results
from sparsebench.report.document import Code, Table
from sparsebench.report.markdown_blocks import inline, printed
from sparsebench.report.sections import contents
from sparsebench.suite.labels import distinct_label

NUMBA, SCIPY = {"name": "numba-csr"}, {"name": "scipy-csr"}


def accuracies(values, **changed):
    return [
        make_record(make_trial(seed=seed, **changed), measures={"test_accuracy": value})
        for seed, value in enumerate(values)
    ]


def test_spread_by_hand():
    found = Spread.of([1.0, 2.0, 3.0, math.nan])
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert math.isnan(Spread.of([1.0]).sd)
    assert Spread.of([]).n == 0


def test_equal_values_have_no_spread_whatever_the_rounding():
    assert Spread.of([0.1, 0.1, 0.1]) == Spread(0.1, 0.0, 3)


@pytest.mark.parametrize(
    ("mean", "sd", "shown"),
    [(0.9241, 0.0035, "92.41 ± 0.35 %"), (0.9241, 0.035, "92.4 ± 3.5 %"),
     (0.9241, 0.00001, "92.41 ± 0.00 %"), (0.9241, math.nan, "92.41 %"), (0.5, 0.0, "50.00 %")],
)  # fmt: skip
def test_percent(mean, sd, shown):
    assert percent(Spread(mean, sd, 3)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.00321, "3.21 ms"), (2.5, "2.50 s"), (119.0, "119 s"), (150.0, "2.50 min"),
     (7200.0, "2.00 h"), (0.0, "0"), (0.0000021, "2.10 µs")],
)  # fmt: skip
def test_seconds(value, shown):
    assert seconds(one(value)) == shown


def test_p_values_do_not_look_equal_to_the_error_rate():
    shown = [p_value(p) for p in (None, 0.0004, 0.0123, 0.0497, 0.0503)]
    assert shown == ["", "<0.001", "0.012", "0.0497", "0.0503"]


def test_sizes_and_ratios():
    assert size(one(3 * 2**20)) == "3.00 MiB"
    assert size(one(3 * 2**40)) == "3.00 TiB"
    assert size(Spread(1.5 * 2**30, 0.1 * 2**30, 3)) == "1.50 ± 0.10 GiB"
    assert [ratio(x) for x in (1.031, 2.345, 14.2, 120.4)] == ["1.03", "2.3", "14", "120"]
    assert spread(Spread(math.nan, math.nan, 0)) == "–"
    assert spread(Spread(1.1081, 1e-5, 3)) == "1.11"


def test_text_of_others_stays_in_its_cell():
    assert inline("a|b\n <b>*c*") == r"a\|b \<b\>\*c\*"
    assert inline([Code("a`b|c\nd")]) == r"`a'b\|c d`"
    assert printed(Table(["x", "y"], [["1", 2]])) == "| x | y |\n| --- | ---: |\n| 1 | 2 |"


def test_a_label_says_what_differs_and_no_more():
    other = {**SET, "zeta": 0.5}
    assert distinct_label(SET, [SET, STATIC]) == "set"
    assert distinct_label(PRUNED, [SET, PRUNED]) == "set + importance"
    assert distinct_label(SET, [SET, other]) == "set (zeta=0.3)"
    assert distinct_label({**SET, "zeta": 1.0}, [SET, {**SET, "zeta": 1.0}]) == "set (zeta=1)"
    later = {**SET, "prune": {"name": "importance", "start": 9}}
    assert distinct_label(later, [PRUNED, later, SET]) == "set + importance (prune.start=9)"


def test_settings_are_what_varies_beside_topology_backend_and_seed():
    mlp = {"name": "mlp", "hidden": [10], "activation": {"name": "relu"}}
    trials = [make_trial(seed=1), make_trial(model=mlp, topology=STATIC, backend=SCIPY)]
    assert settings(trials) == (["hidden"], ["100-100", "10"])
    trials = [make_trial(), make_trial(model=mlp, epochs=9)]
    assert settings(trials)[1] == ["hidden=100-100, epochs=4", "hidden=10, epochs=9"]
    assert settings([make_trial()]) == ([], [""])


def test_accuracy_is_by_topology_and_backend_with_the_best_in_bold():
    records = accuracies([0.9, 0.91, 0.92], backend=NUMBA) + accuracies(
        [0.8, 0.82, 0.81], backend=SCIPY
    )
    text = printed(results.result_table(report_data([FakeRun(records)])))
    assert text.splitlines()[0] == "| topology | numba-csr | scipy-csr |"
    assert text.splitlines()[2] == "| set | **91.0 ± 1.0 %** (n = 3) | 81.0 ± 1.0 % (n = 3) |"


def test_failures_are_counted_in_the_cell_and_never_pooled():
    records = accuracies([0.9, 0.92])
    diverged = make_record(make_trial(seed=2), "diverged", measures={"test_accuracy": 0.1})
    out = make_record(make_trial(backend=SCIPY), "out-of-memory", cause="alloc")
    found = report_data([FakeRun([*records, diverged, out])])
    row = printed(results.result_table(found)).splitlines()[2]
    assert row == "| set | 91.0 ± 1.4 % (n = 2, 1 diverged) | out-of-memory |"


def test_failures_with_one_reason_are_one_row():
    failed = [
        make_record(
            make_trial(seed=seed, backend={"name": "dense-mask"}), "out-of-memory",
            cause="alloc", log_tail="Traceback\nMemoryError: | 4 GiB\n\n",
        )
        for seed in (0, 1)
    ]  # fmt: skip
    rows = printed(results.failures_table(report_data([FakeRun(failed)]))).splitlines()[2:]
    assert rows == [
        r"| set | dense-mask | out-of-memory | alloc | yes | `MemoryError: \| 4 GiB` | 0, 1 |"
    ]


def test_skipped_trials_tell_the_command():
    missing = {"missing": "iris is not there; get it with: sparsebench data fetch iris"}
    records = [make_record(make_trial(data=missing, seed=s), "skipped") for s in (0, 1)]
    row = printed(results.not_run_table(report_data([FakeRun(records)]))).splitlines()[2]
    assert "`iris is not there; get it with: sparsebench data fetch iris` | 2 |" in row


def test_agreement_is_the_largest_difference_between_backends():
    records = accuracies([0.9, 0.92], backend=NUMBA) + accuracies([0.9, 0.95], backend=SCIPY)
    row = printed(results.agreement_table(report_data([FakeRun(records)]))).splitlines()[2]
    assert row == "| set | numba-csr and scipy-csr | 2 | 3.00 points | 1 |"
    assert results.agreement_table(report_data([FakeRun(accuracies([0.9]))])) is None


def test_the_memory_of_several_processes_is_their_sum():
    many = {"peak_rss_bytes": 100 * 2**20, "peak_tree_pss_bytes": 300 * 2**20}
    alone = {"peak_rss_bytes": 200 * 2**20}
    records = [
        make_record(make_trial(backend=backend), measures=measures)
        for backend, measures in ((NUMBA, many), (SCIPY, alone))
    ]
    rows = printed(results.memory_table(report_data([FakeRun(records)]))).splitlines()[2:]
    assert ["300 MiB" in rows[0], "200 MiB" in rows[1]] == [True, True]


def test_without_a_probe_there_is_no_audit():
    unprobed = make_record(make_trial(), audit={"claims": "truly sparse", "verdict": "cannot tell"})
    probed = make_record(make_trial(seed=1), audit={**unprobed.audit, "probe": {"time_growth": 1}})
    titles = [
        [section.title for section in contents([FakeRun(records)]).sections]
        for records in ([unprobed], [unprobed, probed])
    ]
    assert ["Honesty audit" in one for one in titles] == [False, True]


def test_the_parts_of_a_compiled_step_per_epoch():
    parts = {
        "gather_seconds": 0.4,
        "forward_seconds": 4,
        "backward_seconds": 6,
        "update_seconds": 1,
    }
    compiled = make_record(make_trial(backend=NUMBA, epochs=2), measures=parts)
    layers = make_record(make_trial(backend=SCIPY, epochs=2))
    found = report_data([FakeRun([compiled, layers])])
    header, _, *rows = printed(results.parts_table(found)).splitlines()
    assert "gathering batches, mean over epochs | forward, mean over epochs" in header
    assert [row.split(" | ")[2:-1] for row in rows] == [["200 ms", "2.00 s", "3.00 s", "500 ms"]]
    assert results.parts_table(report_data([FakeRun([layers])])) is None


def test_connections_before_and_after(tmp_path):
    text = printed(
        results.connections_table(
            report_data([realistic(tmp_path, epochs=1, topologies=(PRUNED,))])
        )
    )
    assert "| 9,480 | 6,320 | 17,400 | 54.5 % | 36.3 % |" in text


def test_machines_are_not_pooled_and_it_is_said():
    there = make_record(make_trial(seed=1), machine={**MACHINE, "id": "cd34"})
    found = report_data([FakeRun(accuracies([0.9])), FakeRun([there], id="other")])
    assert found.notes == ["Records that differ in machine are not pooled: they are separate rows."]
    assert printed(results.result_table(found)).count("n = 1") == 2


def test_the_same_record_in_two_runs_is_one_seed():
    first = FakeRun(accuracies([0.9, 0.92]))
    found = report_data([first, FakeRun(first.records, id="again")])
    assert len(found.frame) == 2
    assert found.notes == []


def test_a_seed_run_again_is_shown_once_the_later_one():
    later = make_record(
        make_trial(), attempt=2, started="2027-01-01", measures={"test_accuracy": 0.5}
    )
    found = report_data([FakeRun(accuracies([0.9])), FakeRun([later], id="again")])
    assert list(found.frame["test_accuracy"]) == [0.5]
    assert "1 record repeats a seed" in found.notes[0]


def test_predicted_stands_beside_measured():
    predicted = {"predicted_epoch_seconds": 0.015}
    found = report_data([FakeRun([make_record(make_trial(), measures=predicted)])])
    rows = printed(results.predictions_table(found)).splitlines()[2:]
    assert rows == [
        "| numba-csr | 15.0 ms | 12.0 ms | 25.0 % | 25.0 % | 1 |",
    ]
    assert results.predictions_table(report_data([FakeRun([make_record(make_trial())])])) is None


def test_samples_are_shown_by_data_set():
    records = [
        make_record(
            make_trial(seed=seed, dataset={"name": name}),
            measures={"train_samples": train},
            settings={"exact": True, "test_samples": 300},
        )
        for seed, (name, train) in enumerate([("digits", 1400), ("digits", 1200), ("iris", 90)])
    ]
    rows = printed(results.data_table(report_data([FakeRun(records)]))).splitlines()[2:]
    assert rows == ["| digits | 1,200 to 1,400 | 300 |", "| iris | 90 | 300 |"]
    assert results.data_table(report_data([FakeRun([make_record(make_trial())])])) is None


def test_each_library_of_linear_algebra_is_shown_once():
    blas = {"internal_api": "openblas", "version": "0.3.30", "architecture": "Zen"}
    pools = [{**blas, "num_threads": 2}, {"internal_api": "openmp", "num_threads": 2}]
    records = [
        make_record(make_trial(seed=seed), settings={"exact": True, "blas": pools})
        for seed in range(2)
    ]
    (section,) = contents([FakeRun(records)]).where
    assert "| linear algebra | openblas 0.3.30 (Zen), 2 threads |" in printed(section.blocks[0])


@pytest.mark.parametrize("damaged", [None, "text", 3, {}, [None], [[1]], ["a"]])
def test_a_damaged_list_of_libraries_is_left_out(damaged):
    record = make_record(make_trial(), settings={"exact": True, "blas": damaged})
    (section,) = contents([FakeRun([record])]).where
    assert "linear algebra" not in printed(section.blocks[0])
