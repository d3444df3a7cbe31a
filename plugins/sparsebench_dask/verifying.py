"""On a worker: is what is here what the caller has? Versions, then data, then code.

A trial that would run anything else is refused, in a line that says what is here and there.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from sparsebench.core.data.catalogue import listing_of
from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError
from sparsebench.machine import data_directory
from sparsebench.registry import Plugins
from sparsebench.run.fetch import fetch
from sparsebench.run.fingerprint import forget_sources
from sparsebench.suite.build import identity
from sparsebench_dask.errand import Errand, code, told_versions

_LOADING = threading.Lock()
"""A file's plugin is imported once, whichever thread of the worker needs it first."""


class Refused(Exception):
    """The trial cannot be run on this worker: why, in one line."""


def verified(errand: Errand, trial: Trial, folder: Path) -> Plugins:
    """The plugins of this worker, with which the trial is the caller's. Raises Refused.

    folder  of the worker; the caller's plugin files are written there
    """
    check_versions(errand["here"], told_versions())
    data_dir = data_directory(Path(errand["data_dir"]) if errand["data_dir"] else None)
    files = tuple(_written(name, text, folder) for name, text in errand["plugin_files"])
    try:
        plugins = _with_data(errand, trial, files, data_dir)
        forget_sources()
        here = code(trial, plugins)
    except SparsebenchError as error:
        raise Refused(str(error)) from None
    check_versions(errand["versions"], here["versions"])
    if here["code"] != errand["code"]:
        raise Refused(
            f"the sources of sparsebench or of a plugin differ (code {here['code'][:12]} there, "
            f"{errand['code'][:12]} here); install there what is here"
        )
    return plugins


def check_versions(caller: Mapping[str, str], worker: Mapping[str, str]) -> None:
    """In words of the caller, who reads them: `there` is the worker."""
    names = [name for name in {**caller, **worker} if caller.get(name) != worker.get(name)]
    if names:
        told = ", ".join(f"{n} {worker.get(n, 'none')} there, {caller.get(n)} here" for n in names)
        raise Refused(f"{told}; install there what is here")


def _with_data(errand: Errand, trial: Trial, files: tuple[Path, ...], data_dir: Path) -> Plugins:
    plugins = _loaded(files, data_dir)
    found = _data(trial, plugins, data_dir)
    if "missing" in found and errand["place"] is not None:
        with _fetching(data_dir):
            fetch(trial.dataset["name"], **errand["place"], data_dir=data_dir)
        plugins = _loaded(files, data_dir)
        found = _data(trial, plugins, data_dir)
    if "missing" in found:
        raise Refused(found["missing"])
    if found != trial.data:
        name = trial.dataset["name"]
        raise Refused(f"data set {name!r} is another: {found} there, {trial.data} here")
    return plugins


def _data(trial: Trial, plugins: Plugins, data_dir: Path) -> dict[str, Any]:
    """What else than its parameters decides the data set of this worker; its file is whole."""
    values = dict(trial.dataset)
    name = values.pop("name")
    if name not in plugins["dataset"]:
        return {"missing": f"data set {name!r} is not in {data_dir}"}
    entry = plugins.entry("dataset", name)
    found = identity(entry, values)
    listing = listing_of(entry.target)
    if listing is not None and "missing" not in found:
        listing.verify()
    return found


def _fetching(data_dir: Path) -> FileLock:
    """One worker of a machine fetches; the others find what it has got."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{data_dir} cannot be written: {error.strerror}") from None
    return FileLock(data_dir / ".fetch.lock")


def _loaded(files: tuple[Path, ...], data_dir: Path) -> Plugins:
    with _LOADING:
        return load_plugins(files, data_dir)


def _written(name: str, text: str, folder: Path) -> Path:
    """A plugin file under its own name, in a folder named by its text: one that was edited since
    is another file, and is imported anew."""
    home = folder / "plugins" / hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    file = home / Path(name).name
    home.mkdir(parents=True, exist_ok=True)
    if not file.is_file() or file.read_text() != text:
        file.write_text(text)
    return file
