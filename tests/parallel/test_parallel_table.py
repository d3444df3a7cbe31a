"""Invented trials of several processes, whose differences and speeds are known beforehand."""

from dataclasses import replace

import pytest
from records import FakeRun, epoch_line, make_record, make_trial
from sparsebench_parallel.report_section import NOTE_STEPS, in_words, parallel_families, section

from sparsebench.analysis.report_data import report_data
from sparsebench.report.document import Chart, Table
from sparsebench.report.markdown import report
from sparsebench.report.markdown_blocks import printed

SEQUENTIAL = {"name": "sequential"}
WASSP = {"name": "wassp", "workers": 2}
WASAP = {"name": "wasap", "workers": 4}


def several(folder, ways, seeds=3):
    """ways: trainer, threads, accuracies by epoch, seconds an epoch, further measures"""
    run = FakeRun([], folder)
    for trainer, threads, curve, pace, more in ways:
        for seed in range(seeds):
            trial = make_trial(trainer=trainer, threads=threads, seed=seed)
            accuracies = [None if a is None else a + 0.001 * seed for a in curve]
            measures = {
                "test_accuracy": accuracies[-1], "epoch_seconds": pace, "net_peak_bytes": 2**20,
                "train_seconds": 0.75 * pace * len(curve),
                "topology_seconds": 0.25 * pace * len(curve), **more,
            }  # fmt: skip
            record = make_record(trial, measures=measures)
            run.records.append(record)
            run.write_epochs(record, [
                epoch_line(
                    e, a,
                    data_seconds=0.0, train_seconds=0.75 * pace, topology_seconds=0.25 * pace,
                )
                for e, a in enumerate(accuracies, start=1)
            ])  # fmt: skip
    return run


WAYS = (
    (SEQUENTIAL, 1, [0.5, 0.7, 0.8, 0.9], 2.0, {}),
    (SEQUENTIAL, 2, [0.5, 0.7, 0.8, 0.9], 1.25, {}),
    (WASSP, 1, [0.5, 0.6, 0.7, 0.89], 1.0, {"bytes_sent_per_step": 2048.0}),
    (WASAP, 1, [0.4, 0.6, None, 0.88], 0.5, {"staleness_mean": 2.5, "staleness_max": 7.0}),
)


def rows(text):
    lines = [line for line in text.replace("\\", "").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_way_is_held_against_one_process_with_one_thread(tmp_path):
    blocks = list(section(report_data([several(tmp_path, WAYS)])))
    assert [one.name for one in blocks if isinstance(one, Chart)][:1] == ["parallel"]
    (found,) = (one for one in blocks if isinstance(one, Table))
    cells = {row[1]: row for row in rows(printed(found))}
    assert list(cells) == [
        "sequential, 1 thread", "sequential, 2 threads", "wassp, 1 thread", "wasap, 1 thread",
    ]  # fmt: skip
    assert [row[5] for row in cells.values()] == ["–", "0.00 [0.00, 0.00]",
        "−1.00 [−1.00, −1.00]", "−2.00 [−2.00, −2.00]"]  # fmt: skip
    assert [row[8] for row in cells.values()] == ["–", "1.60", "2.0", "4.0"]
    assert cells["wassp, 1 thread"][10] == "2.00 KiB"
    assert cells["wasap, 1 thread"][11] == "2.5, at most 7"


def test_at_equal_time_counts_only_what_was_evaluated_within_the_quickest_time(tmp_path):
    (family,) = parallel_families(report_data([several(tmp_path, WAYS)]))
    reached = [way.spread("at_equal_time").mean for way in family.ways]
    # the quickest took 2 s: one epoch of 2 s, one of 1.25 s, two of 1 s, all of its own
    assert reached == pytest.approx([0.501, 0.501, 0.601, 0.881])


def test_what_it_comes_to_in_words(tmp_path):
    (family,) = parallel_families(report_data([several(tmp_path, WAYS)]))
    words = in_words(family)
    assert "wasap, 1 thread has the shortest epoch, 4.0 times as fast" in words
    assert "that of sequential, 2 threads is 1.60 times as fast" in words
    assert "accuracy of several processes differs from that of one by" in words
    assert "−1.00" in words
    assert "slower" not in words
    slow = [(SEQUENTIAL, 1, [0.9], 1.0, {}), (WASSP, 1, [0.9], 2.0, {})]
    (family,) = parallel_families(report_data([several(tmp_path, slow)]))
    assert "2.0 times as long" in in_words(family)
    assert "1 way is slower than one process" in in_words(family)


def test_a_setting_is_reported_in_the_words_of_its_suite(tmp_path):
    run = several(tmp_path, WAYS[:3])
    for one in list(run.records):
        other = replace(one.trial, dataset={"name": "wine"}, epochs=9, words={"dataset": "wine"})
        run.records.append(replace(one, trial=other))
        run.records[run.records.index(one)] = replace(
            one, trial=replace(one.trial, words={"dataset": "digits", "trainer": "any"})
        )
    found = parallel_families(report_data([run]))
    assert [family.setting for family in found] == ["digits", "wine"]


def test_without_a_sequential_trial_nothing_is_compared(tmp_path):
    (family,) = parallel_families(report_data([several(tmp_path, WAYS[2:])]))
    assert family.baseline is None
    assert in_words(family) == ""


def test_one_process_needs_no_section(tmp_path):
    run = several(tmp_path, WAYS[:2])
    assert list(section(report_data([run]))) == []
    assert "several processes" not in report([run], tmp_path)


def test_it_stands_in_the_report(tmp_path):
    assert "## Training by several processes" in report([several(tmp_path, WAYS)], tmp_path)


@pytest.mark.parametrize(("one", "several_", "said"), [
    ("compiled", "layers", True), ("layers", "layers", False), ("compiled", "compiled", False),
])  # fmt: skip
def test_it_says_when_only_one_process_makes_compiled_steps(tmp_path, one, several_, said):
    run = several(tmp_path, WAYS)
    for number, record in enumerate(run.records):
        alone = record.trial.trainer["name"] == "sequential"
        settings = {**record.settings, "step": one if alone else several_}
        run.records[number] = replace(record, settings=settings)
    assert (NOTE_STEPS in list(section(report_data([run])))) is said
