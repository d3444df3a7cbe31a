"""Reads files of typed tables: ARFF and parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsebench.core.arrays import Array
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError
from sparsebench_plugins.datasets.csv_dialect import check_size
from sparsebench_plugins.datasets.params import FileParams
from sparsebench_plugins.datasets.table_parts import choose_target, parts_of_columns


def arff_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    import pandas as pd
    from scipy.io import arff

    check_size(path)
    try:
        data, _ = arff.loadarff(str(path))
    except (OSError, ValueError, NotImplementedError, StopIteration, arff.ArffError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is not an ARFF file that can be read: {reason}") from None
    return _parts(pd.DataFrame(data), path, options, y)


def parquet_parts(path: Path, options: FileParams, y: Array | None = None) -> Parts:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise DataError(
            f"{path}: parquet needs pyarrow: pip install 'sparsebench[parquet]'"
        ) from None
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is not a parquet file that can be read: {reason}") from None
    return _parts(frame, path, options, y)


def _parts(frame: Any, path: Path, options: FileParams, y: Array | None) -> Parts:
    from pandas.api.types import is_numeric_dtype

    names = [str(name) for name in frame.columns]
    if len(frame) == 0 or not names:
        raise DataError(f"{path} has no rows; expected a sample in each")
    target, why = None, ""
    if y is None:
        target, why = choose_target(
            names, lambda i: not is_numeric_dtype(frame.iloc[:, i]), options.target, str(path)
        )
    return parts_of_columns(
        names, lambda i: frame.iloc[:, i], target, options, str(path), why=why, y=y
    )
