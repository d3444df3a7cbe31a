import pytest

from sparsebench.analysis.gates import Gate, default_gates, read_gates
from sparsebench.errors import GateError
from sparsebench.metrics import BUILT_IN as METRICS


@pytest.fixture
def gates(tmp_path):
    def read(text):
        file = tmp_path / "gates.toml"
        file.write_text(text)
        return read_gates(file)

    return read


def test_an_empty_file_is_the_default(gates):
    assert gates("") == default_gates()


def test_a_file_says_what_differs(gates):
    found = gates(
        """
        schema = 1
        alpha = 0.01
        min_seeds = 3
        strict = true
        [gates.net_peak_bytes]
        threshold = "10%"
        [gates.epoch_seconds]
        threshold = "50%"
        floor = "20ms"
        [gates.test_accuracy]
        floor = "1 point"
        action = "warn"
        [gates.kernel_seconds]
        action = "off"
        [gates.stored_bytes]
        exact = true
        """
    )
    assert (found.alpha, found.min_seeds, found.strict) == (0.01, 3, True)
    assert found.by_metric["net_peak_bytes"] == Gate(METRICS["net_peak_bytes"], 0.1, 0.0)
    assert found.by_metric["epoch_seconds"] == Gate(METRICS["epoch_seconds"], 0.5, 0.02, "fail")
    assert found.by_metric["test_accuracy"] == Gate(METRICS["test_accuracy"], 0.0, 0.01, "warn")
    assert "kernel_seconds" not in found.by_metric
    assert found.named == {"net_peak_bytes", "epoch_seconds", "stored_bytes"}
    assert found.by_metric["connections"] == default_gates().by_metric["connections"]


def test_without_defaults_there_is_what_is_named(gates):
    found = gates("defaults = false\n[gates.test_loss]\nfloor = 0.1")
    assert list(found.by_metric) == ["test_loss"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gates.net_peak]\n", "gates.net_peak: unknown metric 'net_peak'. Did you mean"),
        ("[gates.net_peak_bytes]\nthresold = '5%'", "thresold: unknown key. Did you mean"),
        ("[gates.net_peak_bytes]\nthreshold = 5", 'threshold: expected a share such as "5%"'),
        ("[gates.net_peak_bytes]\nthreshold = '5'", 'threshold: expected a share such as "5%"'),
        ("[gates.net_peak_bytes]\nthreshold = '-5%'", 'threshold: expected a share such as "5%"'),
        ("[gates.net_peak_bytes]\nfloor = '2 apples'", "floor: expected a size"),
        ("[gates.net_peak_bytes]\nfloor = '2 points'", "floor: net_peak_bytes is not counted in"),
        ("[gates.net_peak_bytes]\nfloor = -1", "floor: expected an amount of 0 or more"),
        ("[gates.net_peak_bytes]\nfloor = nan", "floor: expected an amount of 0 or more"),
        ("[gates.net_peak_bytes]\nfloor = true", "floor: expected an amount"),
        ("[gates.test_accuracy]\nfloor = 'much'", 'floor: expected an amount such as "0.5 points"'),
        ("[gates.stored_bytes]\nthreshold = '5%'", "stored_bytes is compared exactly: leave out"),
        ("[gates.epoch_seconds]\nexact = true", "exact: epoch_seconds varies"),
        ("[gates.stored_bytes]\nexact = false", "exact: expected true"),
        ("[gates.stored_bytes]\naction = 'fial'", "unknown action 'fial'. Did you mean 'fail'"),
        ("gates = 3", "gates: expected tables"),
        ("[gates]\nnet_peak_bytes = 5", "gates.net_peak_bytes: expected a table, found 5"),
        ("alpha = 2", "alpha: expected a number above 0"),
        ("alpha = 'x'", "alpha: expected a number above 0"),
        ("min_seeds = 1", "min_seeds: expected a whole number from 2"),
        ("strict = 1", "strict: expected true or false"),
        ("schema = 2", "schema: found 2; this sparsebench reads 1"),
        ("schema = true", "schema: found True"),
        ("alhpa = 1", "alhpa: unknown key. Did you mean 'alpha'"),
        ("defaults = false", "no gate is left"),
        ("not toml", "is not TOML in UTF-8"),
        ("x = " + "[" * 3000, "gates.toml: "),
    ],
)
def test_complaints_are_one_line(gates, text, message):
    with pytest.raises(GateError) as caught:
        gates(text)
    assert message in str(caught.value)
    assert "gates.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(GateError, match=r"no\.toml: cannot be read"):
        read_gates(tmp_path / "no.toml")
