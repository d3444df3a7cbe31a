"""A line of epochs.jsonl."""

from dataclasses import replace

from sparsebench.core.metric import total
from sparsebench.core.training.work import EpochRecord

EPOCH = EpochRecord(
    epoch=1, train_loss=1.0, test_loss=None, test_accuracy=0.5, validation_accuracy=None,
    learning_rate=0.1, connections=[20, 10], dropped=[0, 0], grown=[0, 0], pruned=[0, 0],
    data_seconds=0.0, train_seconds=0.0, topology_seconds=0.0, eval_seconds=0.0,
)  # fmt: skip


def test_metrics_are_omitted_where_there_are_none():
    assert "metrics" not in EPOCH.to_json()
    assert EpochRecord.from_json(EPOCH.to_json()) == EPOCH


def test_metrics_survive_a_checkpoint():
    measured = replace(EPOCH, metrics={"dead": [1, 2], "share": 0.5, "later": None})
    assert EpochRecord.from_json(measured.to_json()) == measured


def test_the_total_of_counts_is_their_sum_and_of_other_numbers_their_mean():
    assert total([3, 1]) == 4
    assert total([0.5, 1.0]) == 0.75
    assert total([]) is None


def test_a_list_that_is_not_of_layers_has_no_total():
    measured = replace(EPOCH, metrics={"dead": [1, 2], "bins": [1, 2, 3], "later": None, "x": 2.0})
    assert measured.metric_totals() == {"dead": 3, "x": 2.0}
