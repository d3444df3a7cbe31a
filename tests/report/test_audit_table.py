"""What a reader learns of claims that do not hold, and of times that were disturbed."""

from __future__ import annotations

from records import FakeRun, make_record, make_trial

from sparsebench.analysis.footnote_marks import backend_legend, noise_footnote
from sparsebench.analysis.report_data import report_data
from sparsebench.report.markdown import report
from sparsebench.report.markdown_blocks import printed
from sparsebench.report.results import result_table, time_table

NUMBERS = {"size_growth": 32.25, "time_growth": 1.04, "memory_growth": 0.98}


def audit(claims, verdict, flags=(), **changed):
    return {
        "claims": claims, "verdict": verdict, "flags": list(flags), "why": "the reason",
        "probe": NUMBERS, "declared_bytes": 1000, "net_peak_bytes": 1500, "dense_bytes": 9000,
        **changed,
    }  # fmt: skip


SPARSE = audit("truly sparse", "truly sparse")
GROWN = {"size_growth": 32.25, "time_growth": 47.2, "memory_growth": 27.9}
DECLARED = audit("simulated", "simulated", ["dense-storage", "dense-work"], probe=GROWN)
LIES = audit("truly sparse", "contradicted", ["dense-work"], why="forward takes 20 times as long")


def run(**audits):
    """A run of two seeds for each backend, named with underscores."""
    return FakeRun(
        [
            make_record(make_trial(backend={"name": name.replace("_", "-")}, seed=s), audit=found)
            for name, found in audits.items()
            for s in (0, 1)
        ]
    )


def test_the_report_begins_with_a_claim_that_is_contradicted(tmp_path):
    text = report([run(numba_csr=SPARSE, liar=LIES)], tmp_path)
    summary = text.split("## What ran where")[0]
    assert "The audit contradicts the claim of **liar ‡** to be truly sparse in 2 trials" in summary
    assert "‡ declares that it is truly sparse" in summary
    assert "†" not in summary


def test_a_row_has_claim_finding_and_evidence(tmp_path):
    text = report([run(numba_csr=SPARSE, dense_mask=DECLARED, liar=LIES)], tmp_path)
    table = text.split("## Honesty audit")[1].split("\n## ")[0]
    row = "| numba-csr | truly sparse | truly sparse | none | 32 | 1.0 | 1.0 | 1.5 (1.5) | 2 |"
    assert f"{row} the reason |" in table
    assert (
        "| dense-mask † | simulated | simulated sparsity (declared) | dense-storage and dense-work "
        "| 32 | 47 | 28 | 1.5 (1.5) | 2 | the reason |"
    ) in table
    assert "| liar ‡ | truly sparse | **contradicted** | dense-work |" in table
    assert "| forward takes 20 times as long |" in table


def test_names_are_marked_in_the_other_tables():
    found = report_data([run(numba_csr=SPARSE, dense_mask=DECLARED)])
    assert "| numba-csr | dense-mask † |" in printed(result_table(found))
    assert "| dense-mask † |" in printed(time_table(found))
    assert set(found.frame["backend"]) == {"numba-csr", "dense-mask"}, "the export has plain names"


def test_one_finding_marks_the_name_in_every_row():
    records = run(liar=LIES).records
    unsure = make_record(make_trial(backend={"name": "liar"}, seed=7),
                         audit=audit("truly sparse", "cannot tell", probe={}))  # fmt: skip
    found = report_data([FakeRun([*records, unsure])])
    assert set(found.frame["backend_label"]) == {"liar ‡"}


def test_records_of_before_the_audit_have_no_table_and_no_marks(tmp_path):
    text = report([run(numba_csr={}, dense_mask={})], tmp_path)
    assert "Honesty" not in text
    assert not {"†", "‡", "§"} & set(text)


def test_what_cannot_be_reported_is_shown_with_its_reason(tmp_path):
    unsure = audit("unknown", "cannot tell", probe={}, why="no probe: it was not asked for",
                   declared_bytes=None)  # fmt: skip
    probed = audit("truly sparse", "truly sparse")
    text = report([run(other=unsure, mine=probed)], tmp_path)
    row = "| other | unknown | cannot tell | none | – | – | – | – | 2 |"
    assert f"{row} no probe: it was not asked for |" in text


def test_disturbed_times_are_marked_and_counted(tmp_path):
    quiet = make_record(make_trial(seed=0), noise={"marks": []})
    loud = [
        make_record(make_trial(seed=1), noise={"marks": ["load", "steal"]}),
        make_record(make_trial(seed=2), noise={"marks": ["load"]}),
    ]
    text = report([FakeRun([quiet, *loud])], tmp_path)
    times = text.split("## Time")[1].split("\n## ")[0]
    assert "12.0 ms §" in times
    assert (
        "§ 2 of 3 trials ran while the machine was disturbed (other programs ran in 2 and the "
        "hypervisor took time in 1)"
    ) in times
    assert "§" not in text.split("## Memory")[1]


def test_a_quiet_run_has_no_footnote():
    assert noise_footnote(report_data([run(numba_csr=SPARSE)]).ok) == []
    assert "§" not in printed(time_table(report_data([run(numba_csr=SPARSE)])))


def test_what_a_backend_declares_is_marked_where_no_probe_could_tell():
    unsure = audit("simulated", "cannot tell", probe={})
    found = report_data([run(dense_mask=unsure, numba_csr=SPARSE)])
    assert set(found.frame["backend_label"]) == {"dense-mask †", "numba-csr"}
    assert backend_legend(found.frame).startswith("† simulated")
