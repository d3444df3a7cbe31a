"""A line of epochs.jsonl."""

from dataclasses import replace

from sparsebench.core.training.summary import epoch_seconds
from sparsebench.core.training.work import EpochRecord

EPOCH = EpochRecord(
    epoch=1, train_loss=1.0, test_loss=None, test_accuracy=0.5, validation_accuracy=None,
    learning_rate=0.1, connections=[20, 10], dropped=[0, 0], grown=[0, 0], pruned=[0, 0],
    data_seconds=0.0, train_seconds=0.0, topology_seconds=0.0, eval_seconds=0.0,
)  # fmt: skip


def test_metrics_are_omitted_where_there_are_none():
    assert not {"metrics", "layer_metrics"} & set(EPOCH.to_json())
    assert EpochRecord.from_json(EPOCH.to_json()) == EPOCH


def test_metrics_survive_a_checkpoint():
    layers = {"dead": [1, 2], "degrees": [[1, 0], [3]]}
    measured = replace(EPOCH, metrics={"share": 0.5, "later": None}, layer_metrics=layers)
    assert EpochRecord.from_json(measured.to_json()) == measured


def test_the_numbers_of_an_epoch_are_neither_arrays_nor_per_layer():
    measured = replace(
        EPOCH, metrics={"bins": [1, 2, 3], "later": None, "x": 2.0}, layer_metrics={"dead": [1, 2]}
    )
    assert measured.numbers() == {"x": 2.0}


def test_the_time_of_an_epoch_is_that_of_its_batches_plus_that_of_an_update():
    def epoch(data, train, topology):
        return replace(EPOCH, data_seconds=data, train_seconds=train, topology_seconds=topology)

    assert epoch_seconds([epoch(0.5, 1.0, 0.0), epoch(1.5, 2.0, 0.0), epoch(0.5, 2.0, 0.0)]) == 2.5
    every_third = [epoch(0.5, 1.0, t) for t in (0.0, 0.0, 4.0, 0.0, 0.0, 6.0)]
    assert epoch_seconds(every_third) == 1.5 + 5.0  # not hidden by the epochs without
