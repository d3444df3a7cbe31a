import json
import math

import numpy as np
import pytest
from records import MACHINE, FakeRun, lawful, make_record, make_trial, stored
from scipy import stats

from sparsebench.analysis.fit_crossings import crossing
from sparsebench.analysis.fits import fit_rows, fitted, laws, marginal, points
from sparsebench.analysis.report_data import report_data
from sparsebench.cli.export import fit as fit_command
from sparsebench.errors import SparsebenchError
from sparsebench.report.markdown_blocks import printed
from sparsebench.report.scaling_laws import fits, laws_table, marginal_table

SIZES = (100, 400, 1600, 6400)


def found(records):
    return report_data([FakeRun(records)])


def connections(size):
    return 20 * (74 + 4 * size)


def linear(sizes=SIZES, seeds=2, **changed):
    """Twelve nanoseconds by connection and sample, 44 bytes by connection."""
    return [
        lawful("numba-csr", s, 1.2e-5 * connections(s), 44 * connections(s), seed=seed, **changed)
        for s in sizes
        for seed in range(seeds)
    ]


def test_a_power_law_is_found():
    x = np.array([10.0, 100.0, 1000.0, 5000.0])
    fit = fitted(x, 3 * x**0.5)
    assert fit.exponent == pytest.approx(0.5)
    assert fit.factor == pytest.approx(3)
    assert fit.exponent_interval == pytest.approx((0.5, 0.5))
    assert fit.sizes == 4
    assert fit.least == (10.0, pytest.approx(3 * math.sqrt(10)))
    assert fit.ratio == pytest.approx(math.sqrt(500))


def test_an_offset_is_found_where_there_is_one_and_only_there():
    """A floor of 165 MiB hides how memory grows: a plain power law would say 0.2."""
    x = np.geomspace(1e3, 1e6, 7)
    wobble = np.exp(np.array([0.01, -0.01, 0.005, 0, -0.008, 0.01, -0.004]))
    fit = fitted(x, (165 + 3e-4 * x**1.1) * wobble)
    assert fit.exponent == pytest.approx(1.1, abs=0.05)
    assert fit.offset == pytest.approx(165, rel=0.02)
    assert fit.offset_interval[0] < 165 < fit.offset_interval[1]
    assert fit.at(1e6) == pytest.approx(165 + 3e-4 * 1e6**1.1, rel=0.03)
    assert fitted(x, 3e-4 * x**1.1 * wobble).offset == 0
    assert fitted(x[:5], (165 + 3e-4 * x**1.1)[:5]).offset == 0  # too few sizes to tell


@pytest.mark.parametrize(("offset", "times"), [(0.0, 40), (1e3, 8)])
def test_intervals_hold_the_truth_as_often_as_they_say(offset, times):
    rng = np.random.default_rng(1)
    x = np.geomspace(1e2, 1e5, 7)
    held = 0
    for _ in range(times):
        low, high = fitted(x, (offset + x) * np.exp(rng.normal(0, 0.05, 7))).exponent_interval
        held += low <= 1 <= high
    assert held / times >= 0.87


def test_intervals_are_never_narrower_than_students():
    rng = np.random.default_rng(0)
    x = np.geomspace(10, 1e5, 5)
    y = 2 * x**1.1 * np.exp(rng.normal(0, 0.2, 5))
    fit, known = fitted(x, y), stats.linregress(np.log(x), np.log(y))
    t = stats.t.ppf(0.975, 3)
    assert fit.exponent == pytest.approx(known.slope)
    low, high = fit.exponent_interval
    assert low <= known.slope - t * known.stderr + 1e-9
    assert high >= known.slope + t * known.stderr - 1e-9
    assert fit.factor_interval[1] >= fit.factor * math.exp(t * known.intercept_stderr) - 1e-9


def test_three_sizes_have_no_interval_and_two_no_fit():
    fit = fitted([1.0, 2.0, 4.0], [1.0, 2.1, 3.9])
    assert math.isnan(fit.exponent_interval[0])
    assert fit.exponent == pytest.approx(1, abs=0.05)
    assert fitted([1.0, 2.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0]) is None
    assert fitted([1.0, 2.0, 4.0], [1.0, 0.0, math.nan]) is None


def test_two_laws_cross_with_an_interval():
    x = np.geomspace(1e2, 1e6, 6)
    wobble = np.exp(np.array([0.02, -0.03, 0.01, 0.03, -0.02, 0.0]))
    sparse, dense = fitted(x, 100 * x * wobble), fitted(x, 0.05 * x**1.8 / wobble)
    at, (low, high) = crossing(sparse, dense)
    assert at == pytest.approx(2000**1.25, rel=0.1)
    assert low < at < high < 3 * at
    assert crossing(sparse, fitted(x, 1e9 * x)) is None
    few = fitted(x[:3], (0.05 * x**1.8)[:3])
    assert crossing(sparse, few) is None or math.isnan(crossing(sparse, few)[1][0])


def test_connections_and_neurons_are_distinguished_where_they_can_be():
    c = np.array([1e4, 1e5, 1e4, 1e5, 1e6, 1e6])
    n = np.array([1e3, 1e3, 1e4, 1e4, 1e4, 1e3])
    both = marginal(c, n, 5000 + 20 * c + 300 * n)
    assert (both.per_connection, both.per_neuron) == (pytest.approx(20), pytest.approx(300))
    assert both.per_connection_interval == pytest.approx((20, 20), rel=1e-3)


def test_what_grows_together_is_refused_with_the_reason():
    """Twelve bytes a connection and 43 a neuron would be called 15 a connection."""
    n = np.array([1e3, 4e3, 2e4, 1e5, 5e5])
    assert "grow together" in marginal(13 * n, n, 500 + 12 * 13 * n + 43 * n)
    assert marginal(n[:3], n[:3] ** 2, n[:3]) == "3 points, and 5 are needed"
    assert marginal(n[:2], n[:2], n[:2]) is None


def test_seeds_are_no_points_of_their_own():
    at = points(found(linear(seeds=3)).ok, "connections", ["epoch_seconds"])
    assert list(at["connections"]) == [connections(size) for size in SIZES]
    assert len(at) == 4


def test_the_table_has_a_row_per_measure():
    rows = printed(laws_table(list(laws(found(linear()).trained)))).splitlines()
    assert rows[0].startswith("| topology | backend | measure | exponent | factor |")
    assert rows[2] == (
        "| static | numba-csr | time per epoch | 1.00 (1.00 to 1.00) | "
        "12.0 µs (12.0 µs to 12.0 µs) | none | 9,480 to 513,480 | 114 ms | 6.16 s | 54 | 4 |"
    )
    assert rows[3] == (
        "| static | numba-csr | time per connection and sample | 0.00 (0.00 to 0.00) | "
        "12.0 ns (12.0 ns to 12.0 ns) | none | 9,480 to 513,480 | 12.0 ns | 12.0 ns | 1.00 | 4 |"
    )
    assert "| net peak | 1.00 (1.00 to 1.00) | 44.0 B (44.0 B to 44.0 B) |" in rows[4]
    made, refused = marginal_table(found(linear()).trained)
    assert (made, refused) == (None, ["static, numba-csr: 4 points, and 5 are needed"])
    (section,) = fits(found(linear()).trained)
    assert section.blocks[-1].endswith("static, numba-csr: 4 points, and 5 are needed.")


def test_few_sizes_say_that_the_interval_is_not_known():
    (section,) = fits(found(linear(sizes=SIZES[:3])).trained)
    text = printed(section.tables[0])
    assert "| 1.00 (interval not known) |" in text
    assert fits(found(linear(sizes=SIZES[:2])).trained) == []


def test_time_per_epoch_is_not_fitted_over_unequal_numbers_of_samples():
    records = [
        record for size in SIZES for record in linear(sizes=[size], seeds=1, samples=10 * size)
    ]
    text = printed(laws_table(list(laws(found(records).trained))))
    assert "time per epoch" not in text
    assert "time per connection and sample" in text


def test_other_settings_and_machines_are_rows_of_their_own():
    batches = [r for b in (2, 128) for r in linear(seeds=1, batch_size=b)]
    text = printed(laws_table(list(laws(found(batches).trained))))
    assert text.splitlines()[0].startswith("| setting | topology |")
    assert len(text.splitlines()) == 2 + 2 * 3
    assert "| 128 | static |" in text
    there = [
        make_record(r.trial, measures=r.measures, machine={**MACHINE, "id": "cd34"})
        for r in linear(seeds=1)
    ]
    text = printed(laws_table(list(laws(found([*linear(seeds=1), *there]).trained))))
    assert "| machine cd34 | static |" in text
    assert len(text.splitlines()) == 2 + 2 * 3


def test_bytes_are_fitted_over_densities_too():
    records = [
        lawful("numba-csr", size, 1.0, 1e4 + 24 * epsilon * size + 100 * (74 + 2 * size),
               connections=int(epsilon * size), epsilon=epsilon)
        for size in (100, 400, 1600) for epsilon in (5.0, 20.0, 80.0)
    ]  # fmt: skip
    (row,) = printed(marginal_table(found(records).trained)[0]).splitlines()[2:]
    assert row == (
        "| static | numba-csr | 24.0 B (24.0 B to 24.0 B) | 100.0 B (100.0 B to 100.0 B) | 9 |"
    )


def test_failed_trials_are_not_fitted():
    bad = make_record(make_trial(model={"name": "mlp", "hidden": [9]}), "timeout")
    (row,) = fit_rows(found([*linear(), bad]).ok, "connections", "net_peak_bytes", ["backend"])
    assert (row["backend"], row["sizes"]) == ("numba-csr", 4)
    assert row["exponent"] == pytest.approx(1)


def test_columns_of_a_fit_are_checked():
    frame = found(linear()).ok
    with pytest.raises(SparsebenchError, match="unknown column 'connection'"):
        list(fit_rows(frame, "connection", "net_peak_bytes", ["backend"]))
    with pytest.raises(SparsebenchError, match="status is no number"):
        list(fit_rows(frame, "connections", "status", ["backend"]))


@pytest.fixture
def store(tmp_path):
    return stored(tmp_path / "store", linear(sizes=SIZES[:3], seeds=1), "")


def test_fit_command(store, capsys):
    fit_command("latest", by=["backend"], store=store.path, format="json")
    (row,) = json.loads(capsys.readouterr().out)
    assert row["exponent"] == pytest.approx(1)
    assert row["exponent_low"] is None
    fit_command("latest", store=store.path, format="md")
    assert capsys.readouterr().out.startswith("| backend | x | y | sizes | exponent |")
