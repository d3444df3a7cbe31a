"""Whose samples, whose steps, whose bytes: nothing is left out and nothing shared twice."""

from __future__ import annotations

import json
import mmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparsebench_parallel.hogwild.shared_state import LINE, SharedLayout, SharedMemory, SharedState
from sparsebench_parallel.hogwild.step_order import StepOrder
from sparsebench_parallel.partition import part_bounds, part_of, shuffled

from sparsebench.errors import Unsupported


@given(st.integers(1, 200), st.integers(1, 20), st.integers(0, 3))
def test_every_sample_is_one_workers(samples, workers, seed):
    if workers > samples:
        with pytest.raises(Unsupported, match=f"set at most {samples}"):
            part_bounds(samples, workers)
        return
    parts = [part_of(samples, workers, k, seed) for k in range(workers)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(samples))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_sorted_set_gives_no_worker_one_class():
    labels = np.repeat([0, 1], 100)
    for worker in (0, 1):
        share = labels[part_of(200, 2, worker, seed=0)].mean()
        assert 0.3 < share < 0.7


def test_each_worker_has_an_order_of_its_own_and_the_first_that_of_one_process():
    rows = np.arange(50)
    orders = [tuple(shuffled(rows, 0, epoch, worker)) for epoch in (1, 2) for worker in (0, 1)]
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(rows) for order in orders)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_every_step_is_one_workers_in_turn(batches):
    order = StepOrder(tuple(batches))
    places = [order.places(worker) for worker in range(len(batches))]
    assert sorted(np.concatenate(places)) == list(range(order.per_epoch))
    assert all((np.diff(own) > 0).all() for own in places)
    assert [int(own[0]) for own in places] == list(range(len(batches)))


PLAN = SharedLayout(workers=3, shapes=[(4, 7), (2, 4)], nnz=[9, 0], others=[5], slots=2)


def test_a_plan_travels():
    assert SharedLayout.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN


def test_arrays_of_a_board_begin_on_lines_and_do_not_overlap():
    board = SharedState(PLAN, mmap.mmap(-1, PLAN.size))
    state = [slot for slots in board.state for slot in slots]
    arrays = [*board.values, *state, *(p.indptr for p in board.patterns)]
    assert [array.size for array in board.values] == [9, 4, 0, 2, 5]
    assert all(array.ctypes.data % LINE == 0 for array in arrays)
    for number, array in enumerate(arrays):
        array[...] = number
    board.new_round()
    for number, array in enumerate(arrays):
        assert (array == number).all()


def test_two_mappings_show_the_same_memory_and_grow():
    memory = SharedMemory()
    one, other = memory.mapped(100), memory.mapped(100)
    one[:5] = b"seen!"
    assert other[:5] == b"seen!"
    larger = memory.mapped(10_000)
    assert larger[:5] == b"seen!"
    assert memory.size == len(larger) == 10_000
    assert len(memory.mapped(50)) == 10_000
    memory.close()
