"""Each sentence of the summary is held against the frame, for random frames."""

import math
import re
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import DENSE, SET, STATIC, FakeRun, make_record, make_trial

from sparsebench.analysis.best import best_cells
from sparsebench.analysis.chance import above_chance, beats_chance
from sparsebench.analysis.report_data import report_data
from sparsebench.report.charts import charts
from sparsebench.report.document import plain
from sparsebench.report.results import result_table
from sparsebench.report.sections import contents
from sparsebench.report.summary import statements

NUMBER = r"([\d,.]+)"
UNITS = {"%": 0.01, "ms": 1e-3, "s": 1.0, "min": 60.0, "B": 1, "KiB": 2**10, "MiB": 2**20}
AMOUNT = rf"{NUMBER}(?: ± [\d.]+)? ({'|'.join(map(re.escape, UNITS))})(?!\w)"
COLUMNS = {"time per epoch": "epoch_seconds", "net peak memory": "net_peak_bytes"}


def value(number, unit=""):
    return float(number.replace(",", "")) * UNITS.get(unit, 1)


def near(shown, true):
    """Equal but for the digits that are shown."""
    assert shown == pytest.approx(true, rel=0.06, abs=1e-4)


def cells(frame):
    return frame[frame["ok"]].groupby(["setting", "topology_label", "backend_label"], sort=False)


def on(frame, name):
    return frame[frame["dataset"] == name] if name else frame


# --- a checker for each kind of sentence -------------------------------------------------------


def counted(frame, found):
    n, data, topologies, backends, seeds, well, again = found.groups()[:7]
    assert (int(n), int(again), int(well)) == (len(frame), len(frame), frame["ok"].sum())
    assert set(re.split(", | and ", data)) == set(frame["dataset"])
    for shown, column in ((topologies, "topology_label"), (backends, "backend_label"),
                          (seeds, "seed")):  # fmt: skip
        assert int(shown) == frame[column].nunique()
    if found[8]:
        assert cells(frame)["seed"].nunique().max() == 1


def reached(frame, found):
    """Every number is the mean of the cell that it names, no cell of its topology has more seeds,
    all lie in one setting, and they are in the order of the means."""
    frame, shown = on(frame, found[1]), []
    assert frame.loc[frame["ok"], "setting"].nunique() == 1
    found_texts = re.findall(rf"{AMOUNT} with ([^(]+?) \(([\w-]+), n = (\d+)\)", found[2])
    assert len(found_texts) == frame.loc[frame["ok"], "topology_label"].nunique()
    for number, unit, topology, backend, n in found_texts:
        of = frame[frame["ok"] & (frame["topology_label"] == topology)]
        cell = of[of["backend_label"] == backend]["test_accuracy"]
        near(value(number, unit), cell.mean())
        assert int(n) == len(cell) == of.groupby("backend_label").size().max()
        shown.append(cell.mean())
    assert shown == sorted(shown, reverse=True)


def between(frame, found):
    means = cells(on(frame, found[1]))["test_accuracy"].mean()
    near(value(found[2], found[3]), means.min())
    near(value(found[4] or found[2], found[5] or found[3]), means.max())
    assert int(found[6]) == len(means)


def ranges(frame, found):
    parts = re.findall(rf"{AMOUNT}(?: to {AMOUNT})? on (\w+)", found[1])
    assert len(parts) == found[1].count(" on ")
    for low, unit, high, its_unit, name in parts:
        means = cells(on(frame, name))["test_accuracy"].mean()
        near(value(low, unit), means.min())
        near(value(high or low, its_unit or unit), means.max())


def hopeless(frame, found):
    assert beats_chance(on(frame, found[1])) is False
    near(value(found[2], found[3]), on(frame, found[1])["guess"].mean())


def largest(frame, found):
    ok = frame[frame["ok"]]
    most = ok[ok["initial_connections"] == ok["initial_connections"].max()]
    assert value(found[2]) == most["initial_connections"].iloc[0]
    assert value(found[1]) == most["neurons"].iloc[0]
    means = cells(most)[["epoch_seconds", "net_peak_bytes"]].mean()
    (_, topology, backend), *others = means.index
    assert found[3] == (f"{len(means)} cells" if others else f"{topology}, {backend}")
    steps = np.ceil(most["train_samples"] / most["batch_size"])
    spent = most["train_seconds"] + most["data_seconds"].fillna(0.0)
    means["step_seconds"] = cells(most.assign(step_seconds=spent / steps / most["epochs"]))[
        "step_seconds"
    ].mean()
    assert (found[5] is None) == means["step_seconds"].isna().all()
    for text, column in ((found[4], "epoch_seconds"), (found[5] or "", "step_seconds"),
                         (found[6], "net_peak_bytes")):  # fmt: skip
        if not text:
            continue
        ends = [value(*amount) for amount in re.findall(AMOUNT, text)]
        near(ends[0], means[column].min())
        near(ends[-1], means[column].max())


def within_limit(frame, found):
    assert not (frame["status"] == "out-of-memory").any()


def ratios(frame, column, name, other):
    """Of all pairs of trials that differ in the backend alone."""
    ok = frame[frame["ok"]]
    keys = ["setting", "topology_label", "seed"]
    sides = [ok[ok["backend_label"] == b].set_index(keys)[column] for b in (name, other)]
    return (sides[1] / sides[0]).dropna()


def costs(frame, found):
    sparse = frame["initial_connections"] < frame["dense_connections"]
    if found["sparse"]:
        frame = frame[sparse]
    least, needs, text = found["least"], found["needs"], found["others"]
    name = least or found["beside"]
    found_texts = re.findall(rf"([\w-]+) {NUMBER}(?: to {NUMBER})? times as (?:long|much)", text)
    lowest = math.inf
    for other, low, high in found_texts:
        pairs = ratios(frame, COLUMNS[needs], name, other)
        near(value(low), pairs.min())
        near(value(high or low), pairs.max())
        lowest = min(lowest, pairs.min())
    assert (lowest >= 1) == bool(least)
    keys = ["setting", "topology_label", "seed"]
    wide = frame[frame["ok"]].pivot_table(
        index=keys, columns="backend_label", values=COLUMNS[needs]
    )
    wide = wide[wide.notna().sum(axis=1) > 1]
    assert int(found["count"]) == wide[name].notna().sum()
    if least:
        means = wide[name].groupby(level=[0, 1]).mean()
        ends = [value(*amount) for amount in re.findall(AMOUNT, found["name"])]
        near(ends[0], means.min())
        near(ends[-1], means.max())
    ran = {b for b in frame["backend_label"] if len(ratios(frame, COLUMNS[needs], name, b))}
    assert {other for other, *_ in found_texts} == ran - {name}


def against_dense(frame, found):
    """Of each setting: the cheapest sparse cell over the cheapest dense one."""
    for column, text in (("epoch_seconds", found[1]), ("net_peak_bytes", found[2])):
        shares = []
        for _, part in frame[frame["ok"]].groupby("setting"):
            means = part.groupby(["topology_label", "backend_label"])[column].mean()
            dense = means.index.get_level_values(0).str.startswith("dense")
            if dense.any() and not dense.all():
                shares.append(means[~dense].min() / means[dense].min())
        ends = [value(*amount) for amount in re.findall(AMOUNT, text)]
        near(ends[0], min(shares))
        near(ends[-1], max(shares))


def failed(frame, found):
    bad = frame[frame["status"].isin(["timeout", "out-of-memory", "crashed"])]
    assert int(found[1]) == len(bad)
    limits = {"timeout": "timeout after 1m", "out-of-memory": "out-of-memory in 1 GiB"}
    counts = dict(reversed(kind.split(" ", 1)) for kind in found[2].split(", "))
    true = bad["status"].replace(limits).value_counts()
    assert {kind: int(n) for kind, n in counts.items()} == true.to_dict()


CHECKS = [
    (r"(\d+) trials? on (.+) \((\d+) \w+, (\d+) \w+, (\d+) \w+\): (\d+) of (\d+) finished\."
     r"( Each cell has one seed.*)?", counted),
    (r"Test accuracy(?: on ([\w-]+))?: (.* with .*)\.", reached),
    (rf"Test accuracy(?: on ([\w-]+))? (?:lies between|is) {AMOUNT}(?: and {AMOUNT} in the means"
     r"| in each) of (\d+) cells?\.", between),
    (r"Test accuracy in the means of cells: (.*)\.", ranges),
    (rf"No network(?: on ([\w-]+))? is shown to beat the most frequent class \({AMOUNT}\).*",
     hopeless),
    (rf"The largest network that finished has {NUMBER} neurons and {NUMBER} connections "
     r"\((.+)\): an epoch takes (.*?)(?:, a step of it (.*))? and the net peak is (.*)\.", largest),
    (r"No trial ended at the memory limit of 1.00 GiB\.", within_limit),
    (r"Where only the backend differs \((?P<count>\d+) comparisons?"
     r"(?P<sparse> of sparse networks)?\), (?:(?P<least>[\w-]+) takes|no backend always takes) "
     r"the least (?P<needs>time per epoch|net peak memory)(?P<name>.*?)[,:] "
     r"(?P<others>.*? as (?:long|much))(?: as (?P<beside>[\w-]+))?\.", costs),
    (r"Beside the dense network of the same setting, the fastest sparse one takes (.*) of the time "
     r"per epoch and the smallest sparse one has (.*) of the net peak\.", against_dense),
    (r"(\d+) trials? failed \((.*)\).*\.", failed),
]  # fmt: skip


def check(frame, sentence):
    for pattern, judge in CHECKS:
        if found := re.fullmatch(pattern, sentence):
            judge(frame, found)
            return
    raise AssertionError(f"nothing checks: {sentence}")


DATASETS = ["digits", "wine", "iris", "colon"]


@st.composite
def runs(draw):
    """Trials of a few data sets, sizes, topologies and backends; some fail, some are at chance."""
    some = {
        "dataset": draw(st.sampled_from([DATASETS[:1], DATASETS[1:3], DATASETS])),
        "size": draw(st.lists(st.sampled_from([50, 400]), min_size=1, unique=True)),
        "topology": draw(
            st.lists(st.sampled_from([SET, STATIC, DENSE]), min_size=1, unique_by=str)
        ),
        "backend": draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)),
        "seed": list(range(draw(st.integers(1, 2)))),
    }
    guess = draw(st.sampled_from([None, 0.1, 0.5]))
    counted_samples = draw(st.booleans())
    random, records = Random(draw(st.integers(0, 2**32))), []
    for dataset, size, topology, backend, seed in product(*some.values()):
        ended = random.choice(["ok"] * 6 + ["timeout", "out-of-memory", "crashed"])
        trial = make_trial(
            dataset={"name": dataset}, topology=topology, backend={"name": backend}, seed=seed,
            model={"name": "mlp", "hidden": [size, size], "activation": {"name": "relu"}},
            timeout=60.0, memory_limit=2**30,
        )  # fmt: skip
        measures = {
            "test_accuracy": random.randint(48, 99) / 100,
            "epoch_seconds": random.randint(10, 90) / 1000,
            "net_peak_bytes": random.randint(1, 9) * 2**20,
            "initial_connections": 20.0 * size, "neurons": 74.0 + 2 * size,
            "connections": 20.0 * size, "dense_connections": 40.0 * size,
            "train_samples": 300.0 if counted_samples else None,
            "train_seconds": random.randint(10, 90) / 10, "data_seconds": 0.5,
        }  # fmt: skip
        if topology is DENSE:
            measures["dense_connections"] = measures["connections"]
        facts = {} if guess is None else {"guess": {"test_accuracy": guess}, "test_samples": 40}
        if ended == "ok":
            records.append(make_record(trial, measures=measures, settings=facts))
        else:
            records.append(make_record(trial, ended, measures={}))
    return FakeRun(records, suite_text='name = "demo"\n')


@settings(max_examples=10, deadline=None)
@given(runs())
def test_each_sentence_is_true_for_the_whole_report(run):
    found = report_data([run])
    for sentence in map(plain, statements(found)):
        check(found.frame, sentence)


def tossed(seeds=3, accuracy=0.5, **settings):
    facts = {"guess": {"test_accuracy": 0.5}, "test_samples": 20, **settings}
    return [
        make_record(
            make_trial(seed=seed, topology=topology),
            measures={"test_accuracy": accuracy + 0.05 * (-1) ** (seed + at)}, settings=facts,
        )
        for seed in range(seeds) for at, topology in enumerate((SET, STATIC))
    ]  # fmt: skip


def accuracies(records):
    """The blocks of the section Accuracy."""
    made = contents([FakeRun(records, suite_text='name = "demo"')])
    return next(list(one.blocks) for one in made.sections if one.title == "Accuracy")


def test_coin_tosses_are_called_so_and_not_drawn_nor_bold():
    found = report_data([FakeRun(tossed(), suite_text='name = "demo"')])
    assert any("beat the most frequent class (50.00 %)" in plain(s) for s in statements(found))
    assert above_chance(found).frame.empty
    assert not {chart.name for chart in charts(found)} & {"accuracy-memory", "learning-curves"}
    tossed_on = "No network on digits is shown to beat the most frequent class, so accuracies there"
    assert accuracies(tossed()) == [f"{tossed_on} are left out."]
    other = [make_record(make_trial(dataset={"name": "wine"}))]
    made, *notes = accuracies(tossed() + other)
    assert len(made.rows) == 1
    assert f"{tossed_on} are left out." in notes
    better = report_data([FakeRun(tossed(accuracy=0.9), suite_text='name = "demo"')])
    assert len(above_chance(better).frame) == len(better.frame)


def test_what_is_not_shown_to_be_worse_than_the_best_is_bold_with_it():
    near, far = {0: 0.90, 1: 0.91, 2: 0.92}, {0: 0.50, 1: 0.52, 2: 0.51}
    other = {0: 0.91, 1: 0.90, 2: 0.915}
    assert best_cells([near, other, far], 1) == {0, 1}
    assert best_cells([near, other], 1) == set()  # a coin toss
    assert best_cells([near, far, {0: 0.99, 1: 0.99}], 1) == {0}  # two seeds take no part
    assert best_cells([near, far], -1) == {1}
    again = {seed: value + 0.25 for seed, value in far.items()}
    assert best_cells([again, far], 1) == set()  # three equal differences: 1/4 by the sign test


def test_the_question_comes_first_and_only_its_kind_of_result_is_given():
    suite = 'name = "demo"\nquestion = "How fast?"\nlead = "scaling"\n'
    first, *others = map(plain, statements(report_data([FakeRun(tossed(), suite_text=suite)])))
    assert first == "How fast?"
    assert not any("ccurac" in text or "class" in text for text in others)


def test_a_table_says_in_which_limit_a_trial_ran_out():
    trial = make_trial(seed=9, memory_limit=3 * 2**30)
    found = report_data([FakeRun([make_record(trial, "out-of-memory", measures={})])])
    assert found.frame["ended"].tolist() == ["out-of-memory in 3 GiB"]
    row = report_data([FakeRun([*tossed(), make_record(trial, "out-of-memory", measures={})])])
    assert "1 out-of-memory in 3 GiB" in str(result_table(row).rows)


@pytest.mark.parametrize(
    ("topologies", "said"),
    [
        ([SET], "(1 topology, "),
        ([SET, STATIC], "(2 topologies, "),
        ([{**SET, "epsilon": 1}, {**SET, "epsilon": 5}], "(1 topology in 2 variants, "),
    ],
)
def test_one_topology_with_several_parameters_is_one(topologies, said):
    records = [make_record(make_trial(topology=one)) for one in topologies]
    assert said in " ".join(map(plain, statements(report_data([FakeRun(records)]))))
