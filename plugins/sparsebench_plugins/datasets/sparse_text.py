"""Reads sparse matrices in text files: svmlight, which has targets, and Matrix Market, whose
targets are in a separate file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError
from sparsebench_plugins.datasets.csv_dialect import check_size
from sparsebench_plugins.datasets.label_texts import number_note
from sparsebench_plugins.datasets.params import FileParams


def svmlight_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    from sklearn.datasets import load_svmlight_file

    check_size(path)
    try:
        X, own = load_svmlight_file(str(path), dtype=np.float64)
    except (OSError, EOFError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is not an svmlight file: {reason}") from None
    y = own if y is None else y
    notes = tuple(number_note("of each line", y))
    return Parts(X, y, source=str(path), target="the start of each line", notes=notes)


def matrix_market_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    from scipy.io import mmread

    if y is None:
        raise DataError(
            f"{path} holds the features alone; expected the targets beside it in "
            f"{path.stem}_labels.txt or labels.csv, or named by target_file"
        )
    check_size(path)
    try:
        X = mmread(str(path))
    except (OSError, EOFError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is not a Matrix Market file: {reason}") from None
    if options.orientation == "features-in-rows":
        X = X.T
    return Parts(X if isinstance(X, np.ndarray) else X.tocsr(), y, source=str(path))
