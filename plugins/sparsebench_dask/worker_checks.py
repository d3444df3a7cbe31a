"""A worker compares its versions, data and code with the caller's, in this order.

A trial that would run anything else is refused, in a line that names both sides.
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
from sparsebench_dask.remote_job import RemoteJob, code, required_versions

_LOADING = threading.Lock()
"""A file's plugin is imported once, whichever thread of the worker needs it first."""


class Refused(Exception):
    """This worker cannot run the trial; the message is the reason, in one line."""


def checked_plugins(remote: RemoteJob, trial: Trial, folder: Path) -> Plugins:
    """This worker's plugins, once versions, data and code agree. Raises Refused otherwise.

    folder  of the worker; the caller's plugin files are written there
    """
    check_versions(remote["here"], required_versions())
    data_dir = data_directory(Path(remote["data_dir"]) if remote["data_dir"] else None)
    files = tuple(_written(name, text, folder) for name, text in remote["plugin_files"])
    try:
        plugins = _with_data(remote, trial, files, data_dir)
        forget_sources()
        here = code(trial, plugins)
    except SparsebenchError as error:
        raise Refused(str(error)) from None
    check_versions(remote["versions"], here["versions"])
    if here["code"] != remote["code"]:
        raise Refused(
            f"the sources of sparsebench or of a plugin differ (code {here['code'][:12]} there, "
            f"{remote['code'][:12]} here); install there what is here"
        )
    return plugins


def check_versions(caller: Mapping[str, str], worker: Mapping[str, str]) -> None:
    """Raises Refused if versions differ. The caller reads the message: `there` is the worker."""
    names = [name for name in {**caller, **worker} if caller.get(name) != worker.get(name)]
    if names:
        text = ", ".join(f"{n} {worker.get(n, 'none')} there, {caller.get(n)} here" for n in names)
        raise Refused(f"{text}; install there what is here")


def _with_data(remote: RemoteJob, trial: Trial, files: tuple[Path, ...], data_dir: Path) -> Plugins:
    plugins = _loaded(files, data_dir)
    found = _data(trial, plugins, data_dir)
    if "missing" in found and remote["place"] is not None:
        with _fetching(data_dir):
            fetch(trial.dataset["name"], **remote["place"], data_dir=data_dir)
        plugins = _loaded(files, data_dir)
        found = _data(trial, plugins, data_dir)
    if "missing" in found:
        raise Refused(found["missing"])
    if found != trial.data:
        name = trial.dataset["name"]
        raise Refused(f"data set {name!r} is another: {found} there, {trial.data} here")
    return plugins


def _data(trial: Trial, plugins: Plugins, data_dir: Path) -> dict[str, Any]:
    """The identity of the data set on this worker, after its file has been verified."""
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
    """A lock, so that one worker of a machine fetches and the others find the file."""
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
