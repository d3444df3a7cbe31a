"""Parses --sparsebench and --sparsebench-args of pytest with the parser of `sparsebench run`."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer

from sparsebench.cli import run as verb
from sparsebench.cli.asked import Asked, ask
from sparsebench.cli.config import use_config
from sparsebench.errors import SparsebenchError
from sparsebench.run.options import Options

NOT_HERE = {"dry_run": "--collect-only", "debug": "--pdb on a test of your own"}
"""Options of `sparsebench run` that pytest has its own for."""


@dataclass(frozen=True)
class SuiteRun:
    """A suite's trials, and how to run them."""

    asked: Asked
    options: Options


def suite_runs(suites: Sequence[str], options: str) -> list[SuiteRun]:
    """One for each suite. Raises SparsebenchError, in one line, for options that are not usable."""
    use_config()
    return [_suite_run(_parsed([suite, *_split(options)])) for suite in dict.fromkeys(suites)]


def _split(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError as error:
        raise SparsebenchError(f"--sparsebench-args {words!r}: {error}") from None


def _parsed(words: list[str]) -> dict[str, Any]:
    """The parameters of `sparsebench run`, read by its own parser, and its words as `argv`."""

    @functools.wraps(verb.command)
    def parameters(**given: Any) -> dict[str, Any]:
        return given

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(add_help_option=False)(parameters)
    try:
        found = typer.main.get_command(app).main(words, standalone_mode=False)
    except Exception as error:
        message = getattr(error, "format_message", None)  # all usage errors have it
        if message is None:
            raise
        raise SparsebenchError(f"--sparsebench-args: {message()}") from None
    for name, instead in NOT_HERE.items():
        if found[name]:
            option = f"--{name.replace('_', '-')}"
            raise SparsebenchError(f"--sparsebench-args: {option} is not for pytest; see {instead}")
    return {**found, "argv": ("sparsebench", "run", *words)}


def _suite_run(given: dict[str, Any]) -> SuiteRun:
    asked = ask(
        given["suite"],
        sets=given["set"],
        seeds=given["seeds"],
        quick=given["quick"],
        expression=given["select"],
        data=given["data"],
        threads=given["threads"],
        timeout=given["timeout"],
        memory_limit=given["memory_limit"],
        plugin_files=given["plugin"],
        allow_plugins=given["allow_plugins"],
    )
    asked.plugins.entry("executor", given["executor"])
    same = ("store", "jobs", "executor", "resume", "rerun", "reuse_stale", "fail_fast", "audit",
            "identify", "argv")  # fmt: skip
    options = Options(
        data_dir=asked.data_dir, predict=given["planned"], **{key: given[key] for key in same}
    )
    return SuiteRun(asked, options)
