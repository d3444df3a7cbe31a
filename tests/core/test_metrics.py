"""The one table of measured quantities, and that others read it."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from sparsebench import metrics
from sparsebench.analysis.gates import default_gates, fail_if
from sparsebench.analysis.number_format import in_unit
from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import DefaultGate, Metric
from sparsebench.discovery import load_plugins
from sparsebench.errors import PluginError
from sparsebench.metrics import BUILT_IN, EPOCH_ORDER, Metrics, of_run
from sparsebench.store.export_columns import COLUMNS, MEASURES
from sparsebench.store.export_formats import to_csv

FAKE = Metric(
    "fake_bytes", "bytes", "ratio", -1, ("trial", "epoch"), "fake", tracked=True,
    gate=DefaultGate(threshold=0.1),
)  # fmt: skip


def test_names_are_unique_and_the_contracts_order_is_of_the_table():
    every = (*metrics.TRAINING, *metrics.KERNELS, *metrics.PROCESSES, *metrics.EPOCHS)
    assert len(every) == len(BUILT_IN)
    assert [one.name for one in every if "epoch" in one.kinds and one.name not in EPOCH_ORDER] == []
    assert set(MEASURES) < set(COLUMNS)
    assert COLUMNS[COLUMNS.index("topology_seconds") + 1] == "data_seconds"


@pytest.mark.parametrize("metric", [*BUILT_IN.values(), FAKE])
def test_a_declaration_survives_the_manifest(metric):
    assert Metric.from_json(metric.to_json()) == metric


def test_what_a_later_version_declares_is_read_as_far_as_it_is_known():
    later = {"name": "x", "unit": "joules", "scale": "log", "kinds": ["trial", "week"], "new": 1}
    assert Metric.from_json(later) == Metric("x")


def test_a_metric_of_a_run_is_gated_formatted_and_exported_by_its_declaration():
    declared = of_run({"metrics": [FAKE.to_json()]})
    assert declared["fake_bytes"] == FAKE
    assert "fake_bytes" not in Metrics()
    assert default_gates(declared).by_metric["fake_bytes"].threshold == 0.1
    assert fail_if("fake_bytes:+1KiB", declared).floor == 1024
    assert in_unit(FAKE, Spread(2048.0, float("nan"), 1)) == "2.00 KiB"
    frame = pd.DataFrame({"fake_bytes": [3.0], "fake_bytes_1": [2.0], "other": [2.0]})
    assert to_csv(frame, declared).decode().splitlines()[1] == "3,2,2.0"


@pytest.mark.parametrize(
    ("unit", "scale", "value", "shown"),
    [
        ("fraction", "points", 0.9531, "95.31 %"),
        ("fraction", "exact", 0.000123, "0.0123 %"),
        ("seconds", "ratio", 0.0123, "12.3 ms"),
        ("bytes", "ratio", 3 * 2**20, "3.00 MiB"),
        ("count", "exact", 7000.0, "7,000"),
        ("count", "exact", 4.5, "4.500"),
        ("per second", "ratio", 48200.0, "48.2 k"),
        ("number", "number", 0.41234, "0.4123"),
    ],
)
def test_a_value_is_shown_in_the_unit(unit, scale, value, shown):
    assert in_unit(Metric("x", unit, scale), Spread(value, float("nan"), 1)) == shown


def test_the_same_declaration_twice_is_one_and_another_names_both():
    table = Metrics()
    table.add(FAKE, "plugin a")
    table.add(FAKE, "plugin b")
    with pytest.raises(PluginError, match=r"'fake_bytes' is declared twice.*plugin a and by c"):
        table.add(Metric("fake_bytes"), "c")
    with pytest.raises(PluginError, match="by sparsebench and by c"):
        table.add(Metric("test_accuracy", "bytes"), "c")


@pytest.mark.parametrize("name", ["Loud", "a b", "", "=1+1", "x" * 65, "1x"])
def test_a_name_is_a_column(name):
    with pytest.raises(PluginError, match="a name is a column"):
        Metrics().add(Metric(name), "plugin a")


@pytest.mark.parametrize("label", ["dataset", "seed", "epochs", "commit"])
def test_a_label_is_no_metric(label):
    with pytest.raises(PluginError, match="is a label"):
        Metrics().add(Metric(label), "plugin a")


def test_a_plugin_file_whose_metric_is_taken_names_both(tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text(
        "from sparsebench import Metric, hookimpl\n"
        "@hookimpl\n"
        "def register_metrics(add):\n"
        "    add(Metric('net_peak_bytes'))\n"
    )
    with pytest.raises(PluginError, match=r"by sparsebench and by wrong \(.*wrong.py\)"):
        load_plugins([file])


def test_components_in_lists_declare_too():
    one = SimpleNamespace(metrics=(FAKE,))
    plugins = SimpleNamespace(
        metrics=Metrics(), registries={"observer": None},
        parameters=lambda kind, component: one if component["name"] == "mine" else None,
    )  # fmt: skip
    trial = SimpleNamespace(observers=[{"name": "other"}, {"name": "mine"}], seed=0)
    assert metrics.declared_metrics(plugins, [trial]).added() == [FAKE]


def test_large_deviations_have_thousands_separators():
    assert in_unit(Metric("nonzero_weights", "number"), Spread(40000.0, 14991.0, 5)) == (
        "40,000 ± 14,991"
    )
