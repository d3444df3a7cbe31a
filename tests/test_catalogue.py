from __future__ import annotations

import hashlib
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from sparsebench.cli.data import app
from sparsebench.core.data.catalogue import find, read_manifest
from sparsebench.core.data.catalogue import states as states_of
from sparsebench.core.data.checksums import file_sha256
from sparsebench.core.data.openml import Place, fetch_command, place_of
from sparsebench.core.files import replacing
from sparsebench.errors import DataError, MissingData, NothingMatched
from sparsebench.run.fetch import fetch

CLOSED = "http://127.0.0.1:9"
"""A port where nobody listens: as good as no network, and at once."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def listed(data_dir, *entries):
    (data_dir / "data.json").write_text(json.dumps(entries))
    return data_dir


def states(data_dir, **how):
    return states_of(read_manifest(data_dir), **how)


def entry(data_dir, name="mine", **changes):
    path = data_dir / f"{name}.npz"
    if not path.exists():
        np.savez(path, X=np.ones((4, 2), np.float32), y=np.array([0, 1, 0, 1]))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": name, "file": path.name, "sha256": sha256, "shapes": {"X": [4, 2]}, **changes}


# --- the manifest --------------------------------------------------------------------


def test_no_directory_and_no_manifest_list_nothing(tmp_path, data_dir):
    assert read_manifest(tmp_path / "nowhere") == []
    assert read_manifest(data_dir) == []
    assert states(data_dir) == []


@pytest.mark.parametrize("text", ["{", "\xff", "[" * 100_000], ids=["cut", "bytes", "deep"])
def test_a_manifest_that_is_no_json_is_one_line(data_dir, text):
    (data_dir / "data.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"data\.json is not JSON") as caught:
        read_manifest(data_dir)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_no_list(data_dir):
    (data_dir / "data.json").write_text('{"mnist": 1}')
    with pytest.raises(DataError, match="expected a list of entries, found dict"):
        read_manifest(data_dir)


BAD = {
    "no sha256": ({"sha256": None}, r"entry 2 \(bad\): key 'sha256': expected 64 hexadecimal"),
    "short sha256": ({"sha256": "abc"}, "found 'abc'"),
    "absolute": ({"file": "/etc/passwd"}, "a path inside the data directory"),
    "escaping": ({"file": "../other/x.npz"}, "a path inside the data directory"),
    "escaping within": ({"file": "a/../../x.npz"}, "a path inside the data directory"),
    "no file": ({"file": ""}, "a path inside the data directory"),
    "nul": ({"file": "a\0b"}, "a path inside the data directory"),
    "shapes list": ({"shapes": [4, 2]}, "key 'shapes'"),
    "no shapes": ({"shapes": {}}, "key 'shapes'"),
    "negative shape": ({"shapes": {"X": [-4, 2]}}, "key 'shapes'"),
    "true shape": ({"shapes": {"X": [True, 2]}}, "key 'shapes'"),
}


@pytest.mark.parametrize("what", list(BAD))
def test_an_unusable_entry_says_file_entry_and_key_and_harms_no_other(data_dir, what):
    changes, message = BAD[what]
    listed(data_dir, entry(data_dir), entry(data_dir, "bad", **changes))
    good, bad = read_manifest(data_dir)
    assert good.problem is None
    with pytest.raises(DataError, match=message) as caught:
        bad.require()
    assert str(caught.value).startswith(str(data_dir / "data.json"))
    assert [found.state for found in states(data_dir)] == ["present", "unusable"]


@pytest.mark.parametrize("key", ["name", "file", "sha256", "shapes"])
def test_a_missing_key_is_named(data_dir, key):
    made = entry(data_dir)
    del made[key]
    (found,) = read_manifest(listed(data_dir, made))
    assert f"key {key!r} is missing" in str(found.problem)


def test_entries_without_a_usable_name_are_numbered(data_dir):
    found = read_manifest(listed(data_dir, 7, entry(data_dir, "a") | {"name": "../a"}))
    assert [listing.name for listing in found] == ["entry 1", "entry 2"]
    assert all(listing.problem for listing in found)


def test_a_name_listed_twice_is_unusable(data_dir):
    (found,) = read_manifest(listed(data_dir, entry(data_dir), entry(data_dir)))
    assert "entry 2: name 'mine' is listed twice" in str(found.problem)


def test_an_unknown_name_gets_its_nearest_match(data_dir):
    with pytest.raises(DataError, match="Did you mean 'mine'"):
        find(listed(data_dir, entry(data_dir)), "mien")


# --- files and checksums -------------------------------------------------------------


PLACE = {"name": "Pets", "version": 2, "target": None}
MADE = {"source_repo": "example.org/repo", "source_path": "data/mine.mat"}
REMEDIES = {
    "a place": ({"openml": PLACE, **MADE}, "get it with: sparsebench data fetch mine"),
    "an origin": (MADE, "put the listed mine.npz there (its entry says it is made from "
                  "example.org/repo data/mine.mat)"),
    "neither": ({}, "put the listed mine.npz back"),
    "no usable place": ({"openml": {"name": 3}}, "put the listed mine.npz back"),
}  # fmt: skip


@pytest.mark.parametrize("what", list(REMEDIES))
def test_a_missing_or_wrong_file_says_what_really_helps(data_dir, monkeypatch, what):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(data_dir))
    facts, remedy = REMEDIES[what]
    found = find(listed(data_dir, entry(data_dir, sha256="0" * 64, **facts)), "mine")
    with pytest.raises(DataError) as caught:
        found.verify()
    first = "remove it, then " if what == "a place" else ""
    assert str(caught.value).endswith(f"damaged or another version; {first}{remedy}")
    found.path.unlink()
    with pytest.raises(MissingData) as missing:
        found.require()
    assert str(missing.value) == f"data set 'mine': {found.path} is not there; {remedy}"
    assert missing.value.command == remedy.partition("get it with: ")[2]
    assert states(data_dir)[0].state == "missing"


def test_the_command_names_the_directory_if_it_is_not_the_usual_one(data_dir, monkeypatch):
    place = Place("Fashion MNIST", train=60000)
    fetched = "sparsebench data fetch f --openml 'Fashion MNIST' --train 60000"
    assert fetch_command("f", data_dir, place) == f"{fetched} --data {data_dir}"
    monkeypatch.setenv("SPARSEBENCH_DATA", str(data_dir))
    assert fetch_command("f", data_dir, place) == fetched


def test_only_a_usable_place_is_one():
    assert place_of({"name": "Pets", "train": 3}) == Place("Pets", train=3)
    for said in (None, "Pets", {}, {"name": "Pets", "version": "2"}, {"name": "x", "train": True}):
        assert place_of(said) is None


def test_a_wrong_checksum_is_corrupt_and_only_hashing_finds_it(data_dir):
    found = find(listed(data_dir, entry(data_dir, sha256="0" * 64)), "mine")
    assert states(data_dir)[0].state == "present"
    with pytest.raises(DataError, match="sha256 is"):
        found.verify()
    assert states(data_dir, check=True)[0].state == "corrupt"


def test_a_checksum_is_remembered_until_the_file_changes(data_dir):
    found = find(listed(data_dir, entry(data_dir)), "mine")
    assert states(data_dir)[0].state == "present"
    found.verify()
    assert states(data_dir)[0].state == "verified"
    memory = json.loads((data_dir.parent / "cache" / "verified.json").read_text())
    assert memory[str(found.path)]["sha256"] == found.sha256
    found.path.write_bytes(b"other")
    assert states(data_dir)[0].state == "present"
    with pytest.raises(DataError, match="sha256"):
        found.verify()


def test_a_remembered_checksum_is_not_computed_again(data_dir, monkeypatch):
    path = data_dir / "mine.npz"
    entry(data_dir)
    first = file_sha256(path)
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert file_sha256(path) == first


@pytest.mark.parametrize("memory", ["{", "[]", '{"x": 1}', "\xff"])
def test_a_damaged_memory_is_no_error(data_dir, memory):
    cache = data_dir.parent / "cache"
    cache.mkdir()
    (cache / "verified.json").write_bytes(memory.encode("latin-1"))
    find(listed(data_dir, entry(data_dir)), "mine").verify()
    assert states(data_dir)[0].state == "verified"


def test_a_cache_that_cannot_be_written_is_no_error(data_dir, monkeypatch):
    (data_dir / "plain").write_text("a file, so no folder can be made in it")
    monkeypatch.setenv("SPARSEBENCH_CACHE", str(data_dir / "plain" / "cache"))
    find(listed(data_dir, entry(data_dir)), "mine").verify()
    assert states(data_dir)[0].state == "present"


# --- fetch ---------------------------------------------------------------------------


@pytest.fixture
def openml(monkeypatch):
    """OpenML as it answers, without it."""
    import sklearn.datasets

    answer = SimpleNamespace(
        data=np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        target=np.array(["dog", "cat", "dog"], dtype=object),
        details={"id": "61", "version": "2", "licence": "Public"},
        requests=[],
    )

    def fetch_openml(**given):
        answer.requests.append(given)
        return answer

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    return answer


def test_fetch_writes_the_arrays_and_the_entry(data_dir, openml):
    listed(data_dir, entry(data_dir))
    found = fetch("pets", openml="Pets", target="kind", data_dir=data_dir)
    assert [item.name for item in read_manifest(data_dir)] == ["mine", "pets"]
    with np.load(found.verify(), allow_pickle=False) as arrays:
        assert arrays["X"].dtype == np.float32
        assert arrays["y"].tolist() == [1, 0, 1]
    assert found.shapes == {"X": (3, 2), "y": (3,)}
    assert found.facts["class_names"] == ["cat", "dog"]
    assert found.facts["openml"] == {
        "name": "Pets", "version": 2, "target": "kind", "train": None
    }  # fmt: skip
    assert sorted(path.suffix for path in data_dir.glob("*")) == [".json", ".lock", ".npz", ".npz"]
    assert openml.requests[0]["version"] == "active"


def test_what_is_there_is_left_and_what_is_gone_is_fetched_as_before(data_dir, openml):
    found = fetch("pets", openml="Pets", data_dir=data_dir)
    assert fetch("pets", data_dir=data_dir) == found
    with pytest.raises(DataError, match="exists already"):
        fetch("pets", openml="Other", data_dir=data_dir)
    found.path.unlink()
    fetch("pets", data_dir=data_dir)
    assert [request["name"] for request in openml.requests] == ["Pets", "Pets"]
    assert openml.requests[1]["version"] == 2


@pytest.mark.parametrize("option", [{"version": 3}, {"target": "kind"}, {"train": 1}])
def test_nothing_can_be_given_for_what_is_there(data_dir, openml, option):
    fetch("pets", openml="Pets", data_dir=data_dir)
    with pytest.raises(DataError, match="exists already"):
        fetch("pets", **option, data_dir=data_dir)
    assert len(openml.requests) == 1


def test_what_is_given_wins_and_the_entry_fills_in_the_rest(data_dir, openml):
    fetch("pets", openml="Pets", target="kind", train=2, data_dir=data_dir).path.unlink()
    request = {"name": "Pets", "version": 7, "target_column": "kind"}
    found = fetch("pets", version=7, data_dir=data_dir)
    assert request.items() <= openml.requests[1].items()
    assert found.place == Place("Pets", 2, "kind", 2)  # the version is what OpenML answers
    found.path.unlink()
    found = fetch("pets", openml="Other", data_dir=data_dir)
    assert (openml.requests[2]["version"], openml.requests[2]["target_column"]) == (
        "active", "default-target"
    )  # fmt: skip
    assert found.shapes == {"X": (3, 2), "y": (3,)}


def test_the_first_rows_train_and_the_rest_test(data_dir, openml):
    found = fetch("pets", train=2, data_dir=data_dir)
    assert found.shapes == {"X_train": (2, 2), "y_train": (2,), "X_test": (1, 2), "y_test": (1,)}
    assert (found.facts["n"], found.facts["features"], found.facts["classes"]) == (3, 2, 2)
    with np.load(found.verify(), allow_pickle=False) as arrays:
        assert arrays["X_train"].tolist() == [[1, 2], [3, 4]]
        assert arrays["X_test"].tolist() == [[5, 6]]
        assert arrays["y_train"].tolist() == [1, 0]
        assert arrays["y_test"].tolist() == [1]


@pytest.mark.parametrize(
    ("train", "message"),
    [(0, "from 1 to 2"), (3, "has 3 rows.*from 1 to 2"), (1, "1 of the classes are not among")],
)
def test_a_split_that_cannot_be_is_not_stored(data_dir, openml, train, message):
    with pytest.raises(DataError, match=message):
        fetch("pets", train=train, data_dir=data_dir)
    assert list(data_dir.iterdir()) == []


def test_what_is_listed_without_a_source_says_so(data_dir, openml):
    made = entry(data_dir, source_repo="example.org/repo")
    (data_dir / "mine.npz").unlink()
    with pytest.raises(DataError, match=r"made from example.*data fetch mine .*--openml NAME"):
        fetch("mine", version=1, data_dir=listed(data_dir, made))
    assert openml.requests == []
    assert fetch("mine", openml="Mine", data_dir=data_dir).verify()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": None}, "no single label column"),
        ({"data": np.array([["a", "b"]] * 3)}, "features that are not numbers"),
        ({"data": np.full((3, 2), np.nan)}, "missing values"),
    ],
)
def test_what_cannot_be_trained_on_is_not_stored(data_dir, openml, changes, message):
    vars(openml).update(changes)
    with pytest.raises(DataError, match=message):
        fetch("pets", data_dir=data_dir)
    assert list(data_dir.iterdir()) == []


def test_openml_out_of_reach_is_one_line(data_dir, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, CLOSED)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match="OpenML cannot be reached for 'iris'") as caught:
        fetch("iris", data_dir=data_dir)
    assert "\n" not in str(caught.value)
    assert list(data_dir.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_said_before_anything_is_asked(data_dir, openml):
    (data_dir / "plain").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        fetch("pets", data_dir=data_dir / "plain" / "data")
    assert openml.requests == []


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a b"])
def test_fetch_refuses_names_that_are_no_file_names(data_dir, name):
    with pytest.raises(DataError, match="is not a name"):
        fetch(name, data_dir=data_dir)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(data_dir):
    path = data_dir / "data.json"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as stream:
        stream.write("text where bytes belong")  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert os.listdir(data_dir) == ["data.json"]


# --- the command line ----------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(result):
    """The words of each line below the header."""
    return [line.split() for line in result.stdout.splitlines()[1:]]


def test_list_prints_a_line_per_set_or_json(data_dir):
    listed(data_dir, entry(data_dir, n=4, features=2, classes=2))
    assert lines(run("list", "--data", data_dir)) == [["mine", "present", "4", "2", "2"]]
    assert "| mine | present |" in run("list", "--data", data_dir, "--format", "md").stdout
    (found,) = json.loads(run("list", "--data", data_dir, "--json").stdout)
    assert found["state"] == "present"
    assert found["path"] == str(data_dir / "mine.npz")


def test_list_of_nothing_is_no_error(data_dir):
    result = run("list", "--data", data_dir, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == []
    assert "no data sets are listed" in result.stderr


def test_the_directory_comes_from_the_environment(data_dir, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(listed(data_dir, entry(data_dir))))
    assert lines(run("verify")) == [["mine", "verified"]]


def test_verify_shows_all_and_fails_for_a_corrupt_set(data_dir):
    listed(data_dir, entry(data_dir), entry(data_dir, "bad", sha256="0" * 64))
    result = run("verify", "--data", data_dir)
    assert [line[1] for line in lines(result)] == ["verified", "corrupt"]
    assert isinstance(result.exception, DataError)
    assert run("verify", "mine", "--data", data_dir).exit_code == 0
    assert isinstance(run("verify", "--data", data_dir / "no").exception, NothingMatched)


def test_fetch_prints_what_it_got(data_dir, openml):
    result = run("fetch", "pets", "--data", data_dir, "--json")
    assert json.loads(result.stdout)[0]["state"] == "verified"


def test_fetch_passes_the_options_on(data_dir, openml):
    options = ["--openml", "Pets", "--version", 1, "--target", "kind", "--train", 2]
    assert run("fetch", "pets", *options, "--data", data_dir).exit_code == 0
    assert openml.requests[0]["version"] == 1
    assert set(find(data_dir, "pets").shapes) == {"X_train", "y_train", "X_test", "y_test"}
    assert isinstance(run("fetch", "pets", *options, "--data", data_dir).exception, DataError)


@pytest.mark.parametrize("name", ["wine", "extreme", "file"])
def test_fetch_leaves_the_names_of_plugins_alone(data_dir, openml, name):
    result = run("fetch", name, "--data", data_dir)
    assert isinstance(result.exception, DataError)
    assert f"'{name}' is a data set of builtin" in str(result.exception)
    assert "\n" not in str(result.exception)
    assert (openml.requests, list(data_dir.iterdir())) == ([], [])


def test_an_entry_with_the_name_of_a_built_in_is_unusable_in_every_verb(data_dir, openml):
    listed(data_dir, entry(data_dir, "wine"), entry(data_dir))
    for verb in ("list", "verify"):
        shown = json.loads(run(verb, "--data", data_dir, "--json").stdout)
        assert [found["state"] for found in shown] == [
            "unusable", "present" if verb == "list" else "verified"
        ]  # fmt: skip
        assert "a built-in data set has this name" in shown[0]["detail"]
    assert "a built-in data set has this name" in str(
        run("fetch", "wine", "--data", data_dir).exception
    )
