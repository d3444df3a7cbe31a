"""The words that a shell completes: suites, runs, trials and lists."""

from __future__ import annotations

import glob
import os

from sparsebench.errors import SparsebenchError
from sparsebench.registry import PLURALS
from sparsebench.run.user_config import store_directory
from sparsebench.store.store import Store

LISTS = (*PLURALS.values(), "suites", "runs", "plugins")
"""The arguments of `sparsebench ls`."""


def suites(incomplete: str) -> list[str]:
    """Names of suites, folders and suite files that start with `incomplete`."""
    from sparsebench.discovery import load_plugins
    from sparsebench.suite.suite import suite_files

    there = glob.glob(f"{glob.escape(incomplete)}*")
    files = [file for file in there if os.path.isdir(file) or file.endswith(".toml")]
    names = sorted(suite_files(load_plugins().suite_folders))
    return [name for name in names if name.startswith(incomplete)] + files


def runs(incomplete: str) -> list[str]:
    """Runs of the default store, the newest first."""
    try:
        known = ["latest", *reversed(Store(store_directory()).runs())]
    except SparsebenchError:
        return []
    return [run for run in known if run.startswith(incomplete)]


def trials(incomplete: str) -> list[str]:
    """Ids of trials in the default store."""
    try:
        return Store(store_directory()).trial_ids(incomplete)
    except SparsebenchError:
        return []


def lists(incomplete: str) -> list[str]:
    return [name for name in LISTS if name.startswith(incomplete)]
