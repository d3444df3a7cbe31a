"""The suites that reproduce papers: every claim can be judged, and every published number says
where it was read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sparsebench.analysis.trial_settings import with_keys_removed
from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.suite.expand import expand
from sparsebench.suite.selectors import matches
from sparsebench.suite.suite import Suite, read_suite

ROOT = Path(__file__).parents[2]
PAPERS = [
    "ctre-2022", "dst-2020", "fantastic-weights-2023", "generalisation-2019", "itop-2021-mlp",
    "nerva-2024", "nerva-2024-scaling", "nnstd-2020", "one-million-2019-accuracy", "rigl-2020-mlp",
    "segmentation-2026", "set-2018", "set-2018-rbm", "set-2018-tutorials", "tse-2025",
    "truly-sparse-2021", "truly-sparse-2021-workers",
]  # fmt: skip
TAG = re.compile(r"(TEXT|README|LOG|CODE|PLOT)\b")


@cache
def expanded(name: str) -> tuple[Suite, Sequence[Trial]]:
    suite, nowhere = read_suite(ROOT / "suites" / f"{name}.toml"), Path("nowhere")
    return suite, expand(suite, load_plugins((), nowhere), data_dir=nowhere)


@pytest.mark.parametrize("name", PAPERS)
def test_published_numbers_say_where_they_were_read(name: str) -> None:
    suite, _ = expanded(name)
    assert suite.source
    assert suite.deviations
    for claim in suite.claims:
        assert claim.source, claim.text
        if claim.value is not None:
            assert TAG.match(claim.source), claim.text


@pytest.mark.parametrize("name", PAPERS)
def test_every_claim_finds_trials_that_it_can_compare(name: str) -> None:
    """As many as a verdict needs, and on the other side trials that are equal but for the keys
    that the claim names."""
    suite, trials = expanded(name)
    for claim in suite.claims:
        ours = [trial for trial in trials if matches(claim.where, trial)]
        if claim.against is None:
            continue
        assert all(matches(claim.requires or {}, trial) for trial in ours), claim.text
        keys = [*claim.where, *claim.against]
        others = [trial for trial in trials if matches(claim.against, trial)]
        assert all(matches(claim.requires or {}, trial) for trial in others), claim.text
        assert families(ours, keys) <= families(others, keys), claim.text


def families(trials: Sequence[Trial], keys: Sequence[str]) -> set[Any]:
    return {with_keys_removed(trial, *keys).id for trial in trials}


@pytest.mark.parametrize("name", PAPERS)
def test_a_page_says_what_is_compared(name: str) -> None:
    paper = re.match(r".*?-\d{4}", name)
    assert paper is not None
    pages = ROOT / "docs" / "reproduction"
    (page,) = [page for page in pages.glob("*.md") if page.stem.startswith(paper[0])]
    assert f"suites/{name}.toml" in page.read_text()
