from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebench.units import brief_seconds, brief_size, seconds, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("90", 90), (90, 90), ("1.5s", 1.5),
     ("250ms", 0.25), ("1d", 86400), (" 2 h ", 7200), (0.5, 0.5)],
)  # fmt: skip
def test_seconds(text: object, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8GiB", 8 * 2**30), ("8gib", 8 * 2**30), ("500 MB", 5 * 10**8), (4096, 4096),
     ("1.5KiB", 1536)],
)  # fmt: skip
def test_size(text: object, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "m", "3x", "-1s", "0", 0, True, None, [1], "1h?", "nan", "inf"]
)
def test_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as '30m'"):
        seconds(text)


def test_unknown_unit_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"found '8 GB!'. Known units: B, kB, MB"):
        size("8 GB!")


@settings(deadline=None)
@given(st.text() | st.integers() | st.floats() | st.none())
def test_anything_is_an_amount_or_a_value_error(value: object) -> None:
    for read in (seconds, size):
        with contextlib.suppress(ValueError):
            assert read(value) > 0


def test_brief() -> None:
    assert brief_size(1536) == "1.5 KiB"
    assert brief_size(100) == "100 B"
    assert brief_seconds(5400) == "1h30m"
    assert brief_seconds(90) == "1m30s"
    assert brief_seconds(2) == "2.0s"
