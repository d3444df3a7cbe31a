"""The suites of a pytest command line, with the options of `sparsebench run`."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from typing import Any

import typer

from sparsebench.cli.run import run
from sparsebench.errors import SparsebenchError
from sparsebench.run.request import RunRequest, resolve

NOT_HERE = {"dry_run": "--collect-only", "debug": "--pdb on a test of your own"}
"""Options of `sparsebench run` that make no sense here, and what to use instead."""


def requests_of(suites: Sequence[str], options: str) -> list[RunRequest]:
    """One per suite; SparsebenchError, in one line, for what is not usable."""
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise SparsebenchError(f"--sparsebench-args {options!r}: {error}") from None
    return [_request([suite, *words]) for suite in dict.fromkeys(suites)]


def _request(words: list[str]) -> RunRequest:
    """Read by the parser of `sparsebench run`."""

    @functools.wraps(run)
    def options_of(**given: Any) -> dict[str, Any]:
        return given

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(add_help_option=False)(options_of)
    try:
        found = typer.main.get_command(app).main(words, standalone_mode=False)
    except Exception as error:
        complaint = getattr(error, "format_message", None)  # of every complaint about usage
        if complaint is None:
            raise
        raise SparsebenchError(f"--sparsebench-args: {complaint()}") from None
    for name, instead in NOT_HERE.items():
        if found[name]:
            option = f"--{name.replace('_', '-')}"
            raise SparsebenchError(f"--sparsebench-args: {option} is not for pytest; see {instead}")
    how = {key: value for key, value in found.items() if key not in ("dry_run", "format", "json")}
    return resolve(**how, argv=("sparsebench", "run", *words))
