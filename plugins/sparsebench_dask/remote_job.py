"""The messages between caller and worker: plain data, and files as bytes. No disk is shared."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sparsebench.core.data.catalogue import listing_of
from sparsebench.core.files import writing_to
from sparsebench.core.job import Job
from sparsebench.core.trial import Trial
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import fingerprint
from sparsebench.store.attempts import OUTCOME, SPEC
from sparsebench.store.provenance import versions
from sparsebench.store.store import NEEDED_ONCE
from sparsebench.units import brief_size

RemoteJob = dict[str, Any]
"""See `make_remote_job`; `here` has the versions that the worker must have too."""

Reply = dict[str, Any]
"""`worker`, the name of the worker that replies, and one of:

again    name of the worker that began this trial earlier; nothing was run
refused  why the worker cannot run the trial, in one line
outcome  how the trial ended; with `address` of the worker, `files` (content by name) and `left`, a
         line for each file that was too large to be sent
"""

LARGEST_SENT_FILE = 256 * 2**20
"""Largest file that is sent, in bytes. A larger one stays where it is, and the log says so."""

NOT_SENT = (*NEEDED_ONCE, OUTCOME, SPEC)
"""Files that are not sent back: the outcome contains them, or only the store writes them."""


def make_remote_job(
    job: Job, plugins: Plugins, *, token: str, topic: str, data_dir: Path | None
) -> RemoteJob:
    """The caller's job as plain data.

    token     topic of the trial's messages
    topic     topic of the messages of the caller's run
    data_dir  where the worker finds data; None: the worker's own data directory
    """
    name, place = job.trial.dataset["name"], None
    listing = listing_of(plugins["dataset"][name].target) if name in plugins["dataset"] else None
    if listing is not None and listing.place is not None:
        place = asdict(listing.place)
        place["openml"] = place.pop("name")
    return {
        "token": token,
        "topic": topic,
        "job": job.to_json(),
        "attempt": job.folder.name,
        "here": required_versions(),
        "plugin_files": [(file.name, file.read_text()) for file in job.plugin_files],
        "data_dir": str(data_dir) if data_dir is not None else None,
        "place": place,
        **code(job.trial, plugins),
    }


def required_versions() -> dict[str, str]:
    """Versions that must agree before anything else is compared."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **versions(("sparsebench", "numpy", "scipy", "numba"))}


def code(trial: Trial, plugins: Plugins) -> dict[str, Any]:
    """Hash of a trial's sources, and versions of the packages its components require."""
    found = fingerprint(trial, plugins)
    return {"code": found["code"], "versions": found["versions"]}


def packed(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """The contents of the files that an attempt left, by name, and a line for each file that is too
    large to be sent."""
    files, left = {}, []
    for file in sorted(folder.iterdir()):
        if file.is_symlink() or not file.is_file() or not _is_sent(file.name):
            continue
        size = file.stat().st_size
        if size > LARGEST_SENT_FILE:
            left.append(f"{file.name} stays on the worker: {too_large(size)}")
        else:
            files[file.name] = file.read_bytes()
    return files, left


def too_large(size: int) -> str:
    return f"{brief_size(size)} are more than the {brief_size(LARGEST_SENT_FILE)} that travel"


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files into the attempt's folder. Names with a folder in them are ignored."""
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if Path(name).name == name and _is_sent(name):
                (folder / name).write_bytes(content)


def _is_sent(name: str) -> bool:
    return name not in NOT_SENT and not name.endswith(".tmp")
