import math

import pytest
from records import FakeRun, lawful

from sparsebench.analysis.crossover import (
    ABOVE,
    BELOW,
    crossings,
    crossover,
    equal_at,
    truly_sparse,
)
from sparsebench.analysis.report_data import report_data
from sparsebench.report.markdown_blocks import printed
from sparsebench.report.scaling_laws import crossover_sentence, crossover_table, crossovers
from sparsebench.report.summary import statements

KINDS = {"numba-csr": True, "dense-mask": False}


def test_equal_lies_straight_between_two_points_in_log_log():
    assert equal_at([0.01, 0.1, 1.0], [-2.0, -1.0, 1.0]) == pytest.approx(math.sqrt(0.1))
    assert equal_at([1.0, 100.0], [-1.0, 3.0]) == pytest.approx(100**0.25)


def test_all_on_one_side_is_below_or_above():
    assert equal_at([1.0, 2.0], [0.5, 1.0]) == BELOW
    assert equal_at([1.0, 2.0], [-1.0, -0.5]) == ABOVE
    assert math.isnan(equal_at([1.0, 2.0, 3.0], [-1.0, 1.0, -1.0]))
    assert math.isnan(equal_at([1.0, 2.0], [1.0, -1.0]))


def test_the_range_is_that_of_every_combination_of_seeds():
    x = [0.01, 0.1]
    sparse, dense = [[1.0, 2.0], [20.0, 30.0]], [[4.0, 5.0], [4.0, 6.0]]
    found = crossover(x, sparse, dense, sparse_first=True)
    every = [
        equal_at(x, [math.log(a / c), math.log(b / d)])
        for a in sparse[0] for b in sparse[1] for c in dense[0] for d in dense[1]
    ]  # fmt: skip
    assert (found.low, found.high) == (pytest.approx(min(every)), pytest.approx(max(every)))
    assert found.low < found.at < found.high
    assert (found.points, found.seeds) == (2, 2)


def test_one_seed_has_no_range_and_one_point_no_crossover():
    found = crossover([1.0, 4.0], [[1.0], [4.0]], [[2.0], [2.0]], sparse_first=True)
    assert found.at == pytest.approx(2)
    assert math.isnan(found.low)
    assert crossover([1.0], [[1.0]], [[2.0]], sparse_first=True) is None


def test_along_sizes_truly_sparse_is_the_cheaper_one_at_the_large_end():
    found = crossover([1.0, 4.0], [[2.0], [2.0]], [[1.0], [4.0]], sparse_first=False)
    assert found.at == pytest.approx(2)
    always = crossover([1.0, 4.0], [[1.0], [2.0]], [[9.0], [9.0]], sparse_first=False)
    assert always.at == BELOW


def test_backends_say_what_they_are():
    said = truly_sparse(["numba-csr", "scipy-csr", "dense-mask", "somebody's"])
    assert said == {"numba-csr": True, "scipy-csr": True, "dense-mask": False}


def by_density(densities=(0.01, 0.04, 0.16), seeds=2, size=100):
    """Time is equal at 8 %: 0.25 s a connection against 0.02 s a dense one; memory at 1 GiB."""
    dense = size * (74 + size)
    for d in densities:
        for seed in range(seeds):
            n, epsilon = int(d * dense), d * 100
            shared = {"connections": n, "epsilon": epsilon, "seed": seed}
            yield lawful("numba-csr", size, 0.25 * n / dense * (1 + 0.1 * seed), 1e3 * n, **shared)
            yield lawful("dense-mask", size, 0.02, 1e9, **shared)


def test_a_crossover_along_density():
    found = report_data([FakeRun(list(by_density()))])
    (one,) = crossings(found, KINDS)
    assert (one.along, one.sparse, one.simulated) == ("density", "numba-csr", "dense-mask")
    assert one.time.at == pytest.approx(0.08 / 1.05, rel=0.01)
    assert (one.time.low, one.time.high) == pytest.approx((0.08 / 1.1, 0.08), rel=0.01)
    assert one.memory.at == ABOVE
    assert printed(crossover_table([one])).splitlines()[2] == (
        "| static | numba-csr | dense-mask | 7.6 % | 7.3 % to 8.0 % | above 16 % | above 16 % | 3 |"
    )
    assert crossover_sentence([one]) == (
        "numba-csr takes as much time per epoch as dense-mask at a density of 7.6 %, and less net "
        "peak memory than dense-mask at every density from 1.0 % to 16 %."
    )
    assert crossover_sentence([one]) in statements(found)


def test_settings_are_rows_and_one_range_of_the_sentence():
    found = report_data([FakeRun([*by_density(size=100), *by_density((0.08, 0.32), size=200)])])
    rows = crossings(found, KINDS)
    assert [one.setting for one in rows if one.along == "density"] == ["100-100", "200-200"]
    found = crossover_sentence(rows)
    assert "as much time per epoch as dense-mask at a density of 7.6 %, or if at all below" in found


@pytest.mark.parametrize(
    ("time", "bytes", "said"),
    [
        (0.5, 0.5, "less time per epoch and less net peak memory than dense-mask at every size "),
        (2.0, 2.0, "more time per epoch and more net peak memory than dense-mask at every size "),
        (2.0, 0.5, "more time per epoch and less net peak memory than dense-mask at every size "),
    ],
)  # fmt: skip
def test_one_backend_is_cheaper_at_every_size(time, bytes, said):
    records = [
        record
        for size in (100, 400)
        for record in (
            lawful("numba-csr", size, time * size, bytes * 1e6 * size),
            lawful("dense-mask", size, size, 1e6 * size),
        )
    ]
    sentence = crossover_sentence(crossings(report_data([FakeRun(records)]), KINDS))
    assert sentence == f"numba-csr takes {said}from 9,480 to 33,500 connections."


def test_a_crossover_along_size_has_its_neurons():
    records = [
        record
        for size in (100, 400, 1600)
        for record in (
            lawful("numba-csr", size, 1e-4 * size, 1e3 * size),
            lawful("dense-mask", size, 2.5e-7 * size**2, 1e9),
        )
    ]
    (one,) = crossings(report_data([FakeRun(records)]), KINDS)
    assert one.along == "connections"
    assert one.time.at == pytest.approx(20 * (74 + 4 * 400), rel=0.01)
    row = printed(crossover_table([one])).splitlines()[2]
    assert "| 33,500 connections (874 neurons) | not known | below 9,480 connections" in row


def test_sizes_of_one_density_are_no_axis():
    records = [
        lawful(backend, size, 1.0, 1e6, connections=int(0.1 * size * (74 + size)))
        for size in (100, 400)
        for backend in KINDS
    ]
    assert crossings(report_data([FakeRun(records)]), KINDS) == []


def test_without_a_simulated_backend_there_is_no_section():
    records = [record for record in by_density() if record.trial.backend["name"] == "numba-csr"]
    found = report_data([FakeRun(records)])
    assert crossovers(found) == []
    somebody = lawful("somebody's", 100, 1.0, 1e6)
    found = report_data([FakeRun([*by_density(), somebody])])
    (section,) = crossovers(found)
    assert section.blocks[-1].endswith("not known here whether truly sparse: somebody's.")
    assert crossover_sentence([]) == ""
    assert crossings(report_data([FakeRun(list(by_density()))]), {"numba-csr": True}) == []
