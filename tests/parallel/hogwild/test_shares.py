"""Whose samples, whose steps, whose bytes: nothing is left out and nothing shared twice."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sparsebench_parallel.hogwild.shared_state import LINE, SharedLayout, SharedMemory, SharedState
from sparsebench_parallel.hogwild.worker import steps_of, update
from sparsebench_plugins.optimizers import Adam


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_every_step_is_one_workers_in_turn(batches):
    steps = [steps_of(batches, worker) for worker in range(len(batches))]
    assert sorted(np.concatenate(steps)) == list(range(sum(batches)))
    assert all((np.diff(own) > 0).all() for own in steps)
    assert [int(own[0]) for own in steps] == list(range(len(batches)))


LAYOUT = SharedLayout(workers=3, shapes=[(4, 7), (2, 4)], nnz=[9, 0], others=[5], slots=2)


def test_a_layout_that_was_sent_maps_the_same_arrays():
    memory = SharedMemory()
    ours = SharedState(LAYOUT, memory)
    theirs = SharedState(SharedLayout(**json.loads(json.dumps(asdict(LAYOUT)))), memory)
    ours.values[1][...] = 5
    ours.optimizer_state[4][1][...] = 7
    assert theirs.values[1].tolist() == [5] * 4
    assert theirs.optimizer_state[4][1].tolist() == [7] * 5
    assert theirs.patterns[1].shape == (2, 4)
    memory.close()


def test_arrays_begin_on_lines_and_do_not_overlap():
    board = SharedState(LAYOUT, SharedMemory())
    state = [slot for slots in board.optimizer_state for slot in slots]
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


@given(
    st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=30),
    st.sampled_from([(0.9, 0.999), (0.5, 0.3), (0.9, 0.5), (0.0, 0.0)]),
)
def test_adam_repairs_nothing_that_one_process_computed(gradients, betas):
    rule = Adam(beta1=betas[0], beta2=betas[1])
    w, state = np.zeros(1), [np.zeros(1), np.zeros(1)]
    for t, g in enumerate(gradients, 1):
        rule.update(w, np.array([g]), state, 0.1, t, "weight")
        before = np.array(state)
        rule.repair(state)
        np.testing.assert_allclose(state, before, rtol=1e-9)


def test_a_square_lost_in_a_race_makes_no_long_step():
    """Without the repair the step would be 0.09 / 1e-8 rates long."""
    memory = SharedMemory()
    shared = SharedState(LAYOUT, memory)
    shared.optimizer_state[0][0][...] = 0.1
    update(Adam(), shared, [np.zeros_like(w) for w in shared.values], 0.01, 1000)
    assert 0 < np.abs(shared.values[0]).max() < 10 * 0.01
    memory.close()
