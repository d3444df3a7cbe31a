"""Folds of a trial: their spelling, and that folds and seeds are replicates of one cell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from records import make_trial

from sparsebench.core.trial import fold_of
from sparsebench.errors import SuiteError
from sparsebench.suite.keys import trial_values
from sparsebench.suite.labels import label


def test_folds_and_seeds_are_replicates_of_one_cell():
    plain = make_trial()
    trials = [replace(plain, seed=s, fold=f"{i}/3") for s in (0, 1) for i in (1, 2, 3)]
    assert [trial.replicate for trial in trials] == [0, 1, 2, 3, 4, 5]
    assert len({trial.cell for trial in trials}) == 1
    assert len({trial.id for trial in [plain, *trials]}) == 7
    assert plain.cell != trials[0].cell != replace(plain, fold="1/5").cell
    labelled = replace(trials[0], words={"topology": "set", "fold": "1/3"})
    assert label(labelled) == "topology=set fold=1/3"
    assert label(labelled, seed=False) == "topology=set"


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "02/5", "2", "a/b", "2/5 "])
def test_a_fold_is_spelt_as_number_of_all(text):
    assert fold_of("5/5") == (5, 5)
    with pytest.raises(SuiteError, match=r"trial\.fold: .*'2/5'"):
        trial_values({"epochs": 1, "fold": text})
