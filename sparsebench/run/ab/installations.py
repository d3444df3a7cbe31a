"""The two sides of `ab`: an installation of sparsebench each, and where its commands run.

.          this one
FOLDER     a virtual environment, by its bin/python or bin/sparsebench
git:REV    a commit of the repository in the current folder: checked out into a temporary
           folder whose sources come before this installation's. Nothing is downloaded, so
           dependencies and entry points are this installation's
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sparsebench.errors import SparsebenchError, printable

OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""What would bring this installation's packages into another one."""

FOR_US = ("GITHUB_STEP_SUMMARY", "SPARSEBENCH_STORE", "SPARSEBENCH_JOBS", "SPARSEBENCH_EXECUTOR")
"""What speaks of the comparison, and not of each of its trials."""

SOURCES = ("src", ".", "plugins")
"""Where in a checkout packages lie."""


@dataclass(frozen=True)
class Installation:
    """side     "BASE" or "HEAD"
    told     what it is, for people: `git:main (0123abcd)`
    command  what the words of a command line come after
    folder   where it runs
    suite    the suite as its commands call it
    """

    side: str
    told: str
    command: tuple[str, ...]
    folder: Path
    suite: str
    environment: Mapping[str, str] = field(repr=False)


@contextlib.contextmanager
def installation(side: str, given: str, suite: str) -> Iterator[Installation]:
    """One side, there until the block ends. A file that is called SUITE is the same for both
    sides: it is the question, and not what is asked."""
    file = Path(suite)
    found = str(file.absolute()) if file.is_file() else suite
    if given == ".":
        told = f"this installation, {sys.executable}{_commit_here()}"
        yield Installation(side, told, _module(sys.executable), Path.cwd(), found, _environment())
    elif given.startswith("git:"):
        with _checkout(side, given, suite) as made:
            yield made
    else:
        command = _of_environment(side, given)
        bare = _environment(without=OURS)
        yield Installation(side, given, command, Path.cwd(), found, bare)


def _commit_here() -> str:
    """` (0123abcd)`, with `+` where something is changed; empty outside a repository."""
    with contextlib.suppress(SparsebenchError):
        commit = _git(".", "rev-parse", "--short=12", "HEAD")
        changed = "+" if _git(".", "status", "--porcelain", "--untracked-files=no") else ""
        return f" ({commit}{changed})"
    return ""


def _module(python: str) -> tuple[str, ...]:
    """-P: what lies in the current folder is no part of an installation."""
    return (python, "-P", "-m", "sparsebench")


def _of_environment(side: str, given: str) -> tuple[str, ...]:
    folder = Path(os.path.abspath(os.path.expanduser(given)))  # a link would lead out of it
    python, script = folder / "bin" / "python", folder / "bin" / "sparsebench"
    if os.access(python, os.X_OK):
        return _module(str(python))
    if os.access(script, os.X_OK):
        return (str(script),)
    raise SparsebenchError(
        f"{side} {given!r}: expected a virtual environment (a folder with bin/python), git:REV, "
        "or . for this installation"
    )


def _environment(without: tuple[str, ...] = ()) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in (*without, *FOR_US)}
    data = kept.get("SPARSEBENCH_DATA")
    return {**kept, "SPARSEBENCH_DATA": os.path.abspath(data)} if data else kept


@contextlib.contextmanager
def _checkout(side: str, given: str, suite: str) -> Iterator[Installation]:
    """A worktree of the repository, taken back at the end."""
    place = f"{side} {given!r}"
    rev = given.removeprefix("git:")
    top = Path(_git(place, "rev-parse", "--show-toplevel"))
    prefix = _git(place, "rev-parse", "--show-prefix")
    commit = _commit(place, rev)
    with tempfile.TemporaryDirectory(prefix="sparsebench-ab-") as scratch:
        tree = Path(scratch, "tree")
        _git(place, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            folder = tree / prefix
            folder.mkdir(parents=True, exist_ok=True)
            found = _suite_in(suite, top, tree)
            paths = [str(tree / one) for one in SOURCES if (tree / one).is_dir()]
            variables = _environment()
            earlier = variables.get("PYTHONPATH")
            variables["PYTHONPATH"] = os.pathsep.join([*paths, *([earlier] if earlier else [])])
            told = f"{given} ({commit[:12]})"
            yield Installation(side, told, _module(sys.executable), folder, found, variables)
        finally:
            with contextlib.suppress(SparsebenchError):
                _git(place, "worktree", "remove", "--force", str(tree))


def _commit(place: str, rev: str) -> str:
    try:
        return _git(
            place, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{rev}^{{commit}}"
        )
    except SparsebenchError:
        raise SparsebenchError(f"{place}: no such commit here; is it fetched?") from None


def _suite_in(suite: str, top: Path, tree: Path) -> str:
    """The suite's file, as it is now, at its place in the checkout, so that the plugins beside it
    are the commit's; a file from elsewhere, or a name, as it is."""
    file = Path(suite).resolve()
    if not file.is_file() or not file.is_relative_to(top.resolve()):
        return str(file) if file.is_file() else suite
    there = tree / file.relative_to(top.resolve())
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, there)
    return str(there)


def _git(place: str, *words: str) -> str:
    """What git prints; one line on what it complains about. No hook of the repository runs."""
    try:
        done = subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", *words],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise SparsebenchError(f"{place}: git cannot be started: {error.strerror}") from None
    if done.returncode:
        raise SparsebenchError(f"{place}: git {words[0]}: {printable(done.stderr)[:300]}")
    return done.stdout.strip()
