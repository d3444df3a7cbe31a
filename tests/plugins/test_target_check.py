"""A misspelt name of the target's column is found before any trial runs."""

from __future__ import annotations

import gzip
import re

import pytest
from sparsebench_plugins.datasets.file import File

from sparsebench.errors import DataError

TABLE = "a,b,species\n1,2,oak\n3,4,elm\n"


def test_a_misspelt_target_is_refused_with_the_nearest_name(tmp_path):
    for name, text in (("t.csv", TABLE.encode()), ("t.csv.gz", gzip.compress(TABLE.encode()))):
        (tmp_path / name).write_bytes(text)
        assert File(str(tmp_path / name), target="species").identity()
        wanted = "no column 'speces' for the labels. Did you mean 'species'? Known: a, b, species"
        with pytest.raises(DataError, match=re.escape(wanted)):
            File(str(tmp_path / name), target="speces").identity()


@pytest.mark.parametrize(
    ("name", "content", "target"),
    [
        ("t.csv", TABLE.encode("utf-16"), "speces"),  # the reader knows this encoding
        ("t.csv", "a,größe\n1,2\n".encode("cp1252"), "größe"),
        ("t.csv.gz", b"not compressed", "speces"),
        ("t.csv", b"a,b", "speces"),  # no header row
        ("t.npz", b"other", "speces"),
        ("t.csv", TABLE.encode(), 2),
    ],
)
def test_what_it_cannot_judge_is_left_to_the_reader(tmp_path, name, content, target):
    (tmp_path / name).write_bytes(content)
    assert File(str(tmp_path / name), target=target).identity()
