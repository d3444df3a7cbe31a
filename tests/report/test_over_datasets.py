"""Methods over invented data sets whose ranks and costs are known beforehand."""

import math

import pytest
from records import SET, STATIC, FakeRun, epoch_line, make_record, make_trial

from sparsebench.analysis.ranks import cost_profiles, rankings
from sparsebench.analysis.report_data import report_data
from sparsebench.report.markdown import report
from sparsebench.report.markdown_blocks import printed
from sparsebench.report.ranks import critical_differences, rank_tests_table, sections

DENSE = {"name": "dense", "prune": None}
DATASETS = ("colon", "arcene", "leukemia", "allaml")
GAINS = {"set": 0.03, "static": 0.02, "dense": 0.0}
PACE = {"set": 1, "static": 2, "dense": 4}
"""Epochs until the final accuracy; an epoch takes a second."""


def several(folder, datasets=DATASETS, topologies=(SET, STATIC, DENSE), seeds=2):
    run = FakeRun([], folder)
    for i, dataset in enumerate(datasets):
        for topology in topologies:
            for seed in range(seeds):
                name = topology["name"]
                accuracy = 0.8 + 0.01 * i + GAINS[name] + 0.001 * seed
                trial = make_trial(dataset={"name": dataset}, topology=topology, seed=seed)
                measures = {
                    "test_accuracy": accuracy, "epoch_seconds": 1.0,
                    "net_peak_bytes": 2**20 * PACE[name],
                }  # fmt: skip
                record = make_record(trial, measures=measures)
                run.records.append(record)
                curve = [accuracy if e >= PACE[name] else 0.1 for e in range(1, 5)]
                run.write_epochs(record, [
                    epoch_line(e, a, train_seconds=0.75, topology_seconds=0.25)
                    for e, a in enumerate(curve, start=1)
                ])  # fmt: skip
    return run


def test_ranks_by_accuracy_time_and_memory(tmp_path):
    accuracy, time, memory = rankings(report_data([several(tmp_path)]))
    assert [one.measure for one in (accuracy, time, memory)] == [
        "accuracy", "time per epoch", "net peak",
    ]  # fmt: skip
    assert accuracy.methods == ("set", "static", "dense")
    assert accuracy.ranks == (1, 2, 3)
    assert accuracy.datasets == 4
    assert accuracy.p < 0.01
    assert set(time.ranks) == {2.0}
    assert memory.methods == ("set", "static", "dense")


def test_a_data_set_without_every_method_is_left_out_and_named(tmp_path):
    run = several(tmp_path)
    run.records = [
        make_record(r.trial, "timeout")
        if r.trial.dataset["name"] == "arcene" and r.trial.topology["name"] == "dense"
        else r
        for r in run.records
    ]
    found = rankings(report_data([run]))[0]
    assert found.datasets == 3
    assert found.left_out == ("arcene",)
    assert "| arcene | 3 |" in printed(rank_tests_table(rankings(report_data([run]))))


def test_methods_on_two_backends_have_both_names(tmp_path):
    run = several(tmp_path, topologies=(SET,))
    scipy = {"name": "scipy-csr"}
    run.records += [
        make_record(make_trial(
            dataset=r.trial.dataset, topology=SET, backend=scipy, seed=r.trial.seed
        ))
        for r in run.records
    ]  # fmt: skip
    methods = rankings(report_data([run]))[0].methods
    assert set(methods) == {"set, numba-csr", "set, scipy-csr"}


def test_costs_of_the_target(tmp_path):
    """The target lies a point below the best mean. Static ends exactly a point below it, and
    reaches it in its second epoch; dense, three points below, never."""
    found = cost_profiles(report_data([several(tmp_path, seeds=1)]))
    by_name = {one.method: one for one in found["training time"]}
    assert by_name["set"].ratios == (1.0,) * 4
    assert by_name["dense"].ratios == (math.inf,) * 4
    assert by_name["static"].ratios == (2.0,) * 4
    assert {one.method: one.solved for one in found["net peak memory"]}["dense"] == 0


@pytest.mark.parametrize("datasets", [DATASETS[:2], DATASETS[:1]])
def test_two_data_sets_rank_nothing(tmp_path, datasets):
    found = report_data([several(tmp_path, datasets)])
    assert (rankings(found), cost_profiles(found), sections(found)) == ([], {}, [])
    assert critical_differences(found) is None


def test_one_method_ranks_nothing(tmp_path):
    assert rankings(report_data([several(tmp_path, topologies=(SET,))])) == []


def test_the_report_has_the_section_and_its_pictures(tmp_path):
    text = report([several(tmp_path)], tmp_path)
    part = text.split("## Across data sets")[1].split("\n## ")[0]
    assert "| set | **1.00** | **2.00** | **1.00** |" in part
    assert "| time per epoch | set, static and dense | none | 4 | 1.000 |" in part
    assert "| training time | dense | 0 % | 0 % | 0 % | 0 % |" in part
    assert (tmp_path / "ranks.png").is_file()


def test_the_picture_has_a_line_per_method_and_a_bar_per_group(tmp_path):
    chart = critical_differences(report_data([several(tmp_path)]))
    assert len(chart.panels) == 3
    names = [text.split()[0] for *_, text, _ in chart.panels[0].texts]
    assert {"set", "static", "dense"} <= set(names)
    bars = [one for one in chart.panels[0].series if one.width == 4]
    assert len(bars) == len(rankings(report_data([several(tmp_path)]))[0].groups)
