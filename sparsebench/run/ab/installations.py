"""The two installations of sparsebench that the command `ab` compares. Each is given as:

.          this installation
FOLDER     a virtual environment with bin/python or bin/sparsebench
git:REV    a commit of the repository in the current folder, checked out into a temporary folder
           whose sources come first on PYTHONPATH. Nothing is downloaded: dependencies and entry
           points are this installation's
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
"""Variables that would make another installation import this one's packages."""

FOR_US = ("GITHUB_STEP_SUMMARY", "SPARSEBENCH_STORE", "SPARSEBENCH_JOBS", "SPARSEBENCH_EXECUTOR")
"""Variables that are meant for `ab` and not for the runs that it starts."""

SOURCES = ("src", ".", "plugins")
"""Folders of a checkout that may contain packages."""


@dataclass(frozen=True)
class Installation:
    """One side of a comparison.

    side         "BASE" or "HEAD"
    name         for messages: `git:main (0123abcd)`
    command      how its `sparsebench` is started; arguments follow
    folder       its current folder
    suite        name or path of the suite, for its command line
    environment  its environment variables
    """

    side: str
    name: str
    command: tuple[str, ...]
    folder: Path
    suite: str
    environment: Mapping[str, str] = field(repr=False)


@contextlib.contextmanager
def installation(side: str, given: str, suite: str) -> Iterator[Installation]:
    """Yield one side of the comparison; a checkout of `git:REV` is removed when the block ends.

    side   "BASE" or "HEAD"
    given  `.`, a folder, or `git:REV`
    suite  a name, or a file, which both sides use
    """
    file = Path(suite)
    found = str(file.absolute()) if file.is_file() else suite
    if given == ".":
        name = f"this installation, {sys.executable}{_commit_here()}"
        yield Installation(side, name, _module(sys.executable), Path.cwd(), found, _environment())
    elif given.startswith("git:"):
        with _checkout(side, given, suite) as made:
            yield made
    else:
        command = _of_environment(side, given)
        bare = _environment(without=OURS)
        yield Installation(side, given, command, Path.cwd(), found, bare)


def _commit_here() -> str:
    """The commit in the current folder for a message, such as ` (0123abcd)`, with `+` if files are
    changed; empty outside a repository."""
    with contextlib.suppress(SparsebenchError):
        commit = _git(".", "rev-parse", "--short=12", "HEAD")
        changed = "+" if _git(".", "status", "--porcelain", "--untracked-files=no") else ""
        return f" ({commit}{changed})"
    return ""


def _module(python: str) -> tuple[str, ...]:
    """The command that starts sparsebench; -P keeps modules of the current folder out of it."""
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
    """Yield the side `git:REV`, in a temporary worktree of the repository, removed at the end."""
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
            name = f"{given} ({commit[:12]})"
            yield Installation(side, name, _module(sys.executable), folder, found, variables)
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
    """The suite for the side in the checkout `tree` of the repository `top`.

    A suite file of this repository is copied as it is now into the checkout, so that the plugins
    beside it are the commit's. Any other file or a name is returned unchanged.
    """
    file = Path(suite).resolve()
    if not file.is_file() or not file.is_relative_to(top.resolve()):
        return str(file) if file.is_file() else suite
    there = tree / file.relative_to(top.resolve())
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, there)
    return str(there)


def _git(place: str, *words: str) -> str:
    """Run git without hooks and return what it prints; SparsebenchError with its complaint."""
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
