from __future__ import annotations

import hashlib
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from sparsebench import catalogue
from sparsebench.catalogue import fetch, file_sha256, find, read_manifest, states, verify
from sparsebench.cli.data import app
from sparsebench.errors import DataError, MissingData, NothingMatched

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
    with pytest.raises(DataError, match=r"data\.json is no JSON") as caught:
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


def test_a_missing_file_says_how_to_get_it(data_dir):
    found = find(listed(data_dir, entry(data_dir)), "mine")
    found.path.unlink()
    with pytest.raises(MissingData) as caught:
        found.require()
    assert caught.value.command == "sparsebench data fetch mine"
    assert states(data_dir)[0].state == "missing"


def test_a_wrong_checksum_is_corrupt_and_only_hashing_finds_it(data_dir):
    found = find(listed(data_dir, entry(data_dir, sha256="0" * 64)), "mine")
    assert states(data_dir)[0].state == "present"
    with pytest.raises(DataError, match="sha256 is"):
        found.verify()
    assert verify(data_dir)[0].state == "corrupt"


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
        asked=[],
    )

    def fetch_openml(**given):
        answer.asked.append(given)
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
    assert found.facts["openml"] == {"name": "Pets", "version": 2, "target": "kind"}
    assert sorted(path.suffix for path in data_dir.glob("*")) == [".json", ".lock", ".npz", ".npz"]
    assert openml.asked[0]["version"] == "active"


def test_what_is_there_is_left_and_what_is_gone_is_fetched_as_before(data_dir, openml):
    found = fetch("pets", openml="Pets", data_dir=data_dir)
    assert fetch("pets", data_dir=data_dir) == found
    with pytest.raises(DataError, match="is there already"):
        fetch("pets", openml="Other", data_dir=data_dir)
    found.path.unlink()
    fetch("pets", data_dir=data_dir)
    assert [asked["name"] for asked in openml.asked] == ["Pets", "Pets"]
    assert openml.asked[1]["version"] == 2


def test_what_is_listed_without_a_source_says_so(data_dir, openml):
    made = entry(data_dir, source_repo="example.org/repo")
    (data_dir / "mine.npz").unlink()
    with pytest.raises(DataError, match="made from example"):
        fetch("mine", data_dir=listed(data_dir, made))
    assert openml.asked == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": None}, "no single label column"),
        ({"data": np.array([["a", "b"]] * 3)}, "features that are no numbers"),
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
    assert openml.asked == []


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a b"])
def test_fetch_refuses_names_that_are_no_file_names(data_dir, name):
    with pytest.raises(DataError, match="is no name"):
        fetch(name, data_dir=data_dir)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(data_dir):
    path = data_dir / "data.json"
    path.write_text("old")
    with pytest.raises(TypeError), catalogue.replacing(path) as stream:
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
