from __future__ import annotations

from pathlib import Path
from typing import Any

from records import FakeRun, make_record, make_trial
from sparsebench_roofline.report_section import kernels_table, shares_by_size

from sparsebench.analysis.report_data import report_data
from sparsebench.report.markdown import report
from sparsebench.report.markdown_blocks import printed
from sparsebench.store.record import Record


def timed(kernel: str, batch: int, share: float, bound: str, **trainer: Any) -> Record:
    trial = make_trial(trainer={"name": "kernel", "kernel": kernel, **trainer}, batch_size=batch)
    none = {"test_accuracy": None, "epoch_seconds": None}
    measures = {**none, "roofline_share": share, "roofline_best_share": share + 0.05}
    return make_record(trial, measures=measures, layers=[{"bound": bound}])


FORWARD = [timed("forward", 2, 0.5, "narrow gather, L2"), timed("forward", 128, 0.7, "flops")]


def found(records: list[Record]) -> Any:
    return report_data([FakeRun(records)])  # type: ignore[list-item]


def test_shares_are_by_size_and_batch() -> None:
    made = kernels_table(found([*FORWARD, timed("sddmm", 2, 0.25, "a | b")]))
    lines = printed(made).splitlines()
    assert lines[0] == "| kernel | topology | backend | neurons | batch 2 | batch 128 |"
    assert lines[2:] == [
        "| forward | set | numba-csr | 274 | 50 % (55 %), narrow gather, L2 | 70 % (75 %), flops |",
        "| sddmm | set | numba-csr | 274 | 25 % (30 %), a \\| b | – |",
    ]


def test_variants_of_the_trainer_are_rows_of_their_own() -> None:
    records = [timed("forward", 2, 0.5, "flops", through=on) for on in (False, True)]
    text = printed(kernels_table(found(records)))
    assert "through=False | 50 %" in text
    assert "through=True | 50 %" in text


def test_a_report_keeps_timing_and_training_apart(tmp_path: Path) -> None:
    text = report([FakeRun([*FORWARD, make_record(make_trial())])], tmp_path)  # type: ignore[list-item]
    assert text.count("## Kernels") == text.count("## Accuracy") == 1
    assert "70 % (75 %)" in text
    assert "operations of numba-csr reach 50 to 70 % of what" in text
    assert "## Time" not in report([FakeRun(FORWARD)], tmp_path)  # type: ignore[list-item]


def test_nothing_timed_is_no_table() -> None:
    assert kernels_table(found([make_record(make_trial())])) is None


def sized(hidden: int, density: float) -> Record:
    trial = make_trial(
        trainer={"name": "kernel", "kernel": "forward"}, batch_size=2,
        model={"name": "mlp", "hidden": [hidden, hidden], "activation": {"name": "relu"}},
        topology={"name": "static", "density": density},
    )  # fmt: skip
    measures = {"roofline_share": density, "neurons": 2.0 * hidden, "test_accuracy": None}
    return make_record(trial, measures=measures, layers=[{"bound": "flops"}])


def test_the_chart_joins_networks_that_differ_in_size_only() -> None:
    chart = shares_by_size(found([sized(n, d) for n in (50, 500) for d in (0.25, 0.5)]))
    assert chart is not None
    (panel,) = chart.panels
    lines = sorted((list(one.x), list(one.y)) for one in panel.series)
    assert lines == [([100.0, 1000.0], [0.25, 0.25]), ([100.0, 1000.0], [0.5, 0.5])]
    assert shares_by_size(found(FORWARD)) is None
