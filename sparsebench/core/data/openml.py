"""Data sets on OpenML: where one is, the command that downloads it, and its arrays.

Imports numpy only to download, so that listings and plans are fast.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sparsebench.errors import DataError
from sparsebench.folders import data_directory

if TYPE_CHECKING:
    import numpy.typing as npt

Arrays = dict[str, "npt.NDArray[Any]"]


@dataclass(frozen=True)
class Place:
    """Where on OpenML a data set is, and how its one table becomes arrays.

    version  of the data set; None: the active one
    target   the label column; None: the one that OpenML names
    train    the number of first rows that are the training part; the rest are the test part; None:
             the set has no split
    """

    name: str
    version: int | None = None
    target: str | None = None
    train: int | None = None


def place_of(said: object) -> Place | None:
    """The place in an entry of data.json; None if it is missing or malformed."""
    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str):
        return None
    version, target, train = (said.get(key) for key in ("version", "target", "train"))
    if any(number is not None and type(number) is not int for number in (version, train)):
        return None
    return Place(said["name"], version, target if isinstance(target, str) else None, train)


def fetch_command(name: str, data_dir: Path, place: Place | None = None) -> str:
    """The command line that downloads the set into `data_dir`.

    place  given as options, for a set that data.json does not list; None: no options
    """
    words = ["sparsebench", "data", "fetch", name]
    if place is not None:
        given = {
            "--openml": place.name,
            "--version": place.version,
            "--target": place.target,
            "--train": place.train,
        }
        for option, value in given.items():
            words += [option, str(value)] if value is not None else []
    if data_dir.resolve() != data_directory().resolve():
        words += ["--data", str(data_dir)]
    return shlex.join(words)


def download(place: Place) -> tuple[Arrays, dict[str, Any]]:
    """Download the set. Returns its arrays, and facts about it for data.json. The arrays are X
    (float32) and y (0..classes - 1); if `place.train` splits them, X and y of both parts. Raises
    DataError."""
    found = _ask(place)
    where = f"OpenML {place.name!r}"
    X, y, class_names = _features_and_labels(found.data, found.target, where)
    details = found.details
    version = int(details.get("version", 0)) or place.version
    facts = {
        "class_names": class_names,
        "source": f"OpenML {details.get('id', '?')}: {place.name}, version {version}",
        "licence": details.get("licence"),
        "openml": {
            "name": place.name,
            "version": version,
            "target": place.target,
            "train": place.train,
        },
    }
    if place.train is None:
        return {"X": X, "y": y}, facts
    return _first_rows_train(X, y, place.train, where), facts


def save_arrays(stream: IO[bytes], arrays: Arrays) -> None:
    """Write an npz file."""
    import numpy as np

    np.savez_compressed(stream, allow_pickle=False, **arrays)


def _ask(place: Place) -> Any:
    import warnings
    from http.client import HTTPException

    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fetch_openml(
                name=place.name,
                version="active" if place.version is None else place.version,
                target_column="default-target" if place.target is None else place.target,
                as_frame=False,
                cache=False,
                parser="auto",
                n_retries=1,
            )
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"OpenML cannot be reached for {place.name!r}: {reason}; try again later, or put a "
            "file of your own in a suite with dataset = { name = 'file', path = 'my.npz' }"
        ) from None
    except (ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"OpenML has no usable data set {place.name!r}: {reason}; "
            "look for its name and version on https://www.openml.org"
        ) from None


def _features_and_labels(
    X: Any, y: Any, where: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], list[str]]:
    """Features, labels 0..classes - 1, and the name of each label."""
    import numpy as np

    if y is None or np.ndim(y) != 1:
        raise DataError(f"{where} has no single label column; name one with --target COLUMN")
    try:
        X = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float32)
    except (ValueError, TypeError):
        raise DataError(f"{where} has features that are not numbers; encode them first") from None
    if not np.isfinite(X).all():
        raise DataError(f"{where} has missing values; fill them in first")
    labels = np.asarray(y)
    known, codes = np.unique(
        labels.astype(str) if labels.dtype == object else labels, return_inverse=True
    )
    return X, codes.astype(np.int64), [str(label) for label in known]


def _first_rows_train(X: npt.NDArray[Any], y: npt.NDArray[Any], train: int, where: str) -> Arrays:
    import numpy as np

    if not 0 < train < y.size:
        raise DataError(
            f"{where} has {y.size} rows, of which the first {train} cannot train and the rest "
            f"test; expected --train from 1 to {y.size - 1}"
        )
    unseen = np.setdiff1d(y[train:], y[:train]).size
    if unseen:
        raise DataError(
            f"{where}: {unseen} of the classes are not among the first {train} rows; "
            "expected --train where its training part ends, if it has one"
        )
    return {"X_train": X[:train], "y_train": y[:train], "X_test": X[train:], "y_test": y[train:]}
