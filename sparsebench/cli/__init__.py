"""The command line: a file per verb, each of which parses, calls and prints.

stdout carries the result, stderr the progress. Exit codes: see EXIT_CODES.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import typer.core
import typer.main

from sparsebench.cli import (
    ab,
    baseline,
    check,
    compare,
    data,
    doctor,
    export,
    fit,
    ls,
    new,
    plan,
    prepare,
    report,
    run,
    show,
    status,
    store,
    validate,
)
from sparsebench.errors import SparsebenchError, printable

if TYPE_CHECKING:
    from sparsebench.registry import Command


class _Verbs(typer.core.TyperGroup):
    """The built-in verbs, and those of plugins, which are loaded only if no built-in is meant:
    a plugin that hangs or fails at its import does so in no `--help`. `ls plugins` names them."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        built_in = super().get_command(ctx, cmd_name)
        if built_in is not None or cmd_name not in (commands := plugin_commands()):
            return built_in
        verb = typer.Typer(add_completion=False, rich_markup_mode=None)
        verb.command(cmd_name)(commands[cmd_name].load())
        return typer.main.get_command(verb)


def plugin_commands() -> dict[str, Command]:
    """The verbs that plugins add, by name; this imports the plugins."""
    from sparsebench.discovery import load_plugins

    return load_plugins().commands


app = typer.Typer(
    name="sparsebench",
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

EXIT_CODES = {
    0: "all good",
    1: "a trial failed, timed out or ran out of memory, and the suite does not expect it",
    2: "the command line, a suite, a plugin, data or the store is not usable",
    3: "compare, ab: a gate failed",
    4: "check: a claim fails",
    5: "nothing matched, or nothing ran",
    6: "compare, ab, check: nothing could be decided; with --strict, not everything",
    70: "a bug of sparsebench or of a plugin",
    130: "interrupted (Ctrl-C); finished trials are kept",
    143: "terminated; finished trials are kept",
}

_VERBS = {
    "run": run.command, "plan": plan.command, "validate": validate.command,
    "prepare": prepare.command, "ls": ls.command, "show": show.command, "logs": show.logs,
    "status": status.command, "export": export.command, "report": report.command,
    "compare": compare.command, "ab": ab.command, "check": check.command, "fit": fit.command,
    "merge": store.merge, "doctor": doctor.command,
    "export-model": export.export_model,
}  # fmt: skip
for _name, _command in _VERBS.items():
    app.command(_name)(_command)
app.add_typer(baseline.app, name="baseline")
app.add_typer(data.app, name="data")
app.add_typer(new.app, name="new")
app.add_typer(store.app, name="store")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("sparsebench"))
        raise typer.Exit


_EPILOG = (
    "`sparsebench ls plugins` lists the commands that plugins add.\n\n\b\nExit codes:\n"
    + "\n".join(f"{code:>5}  {meaning}" for code, meaning in EXIT_CODES.items())
)


@app.callback(epilog=_EPILOG)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Benchmark and reproduction suite for truly sparse neural-network training."""
    from sparsebench.run.user_config import read_config

    if "--help" not in context.obj and context.invoked_subcommand != "doctor":  # which shows it
        read_config()


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. A user's mistake is one line; ours keeps its traceback."""
    words = sys.argv[1:] if args is None else list(args)
    try:
        _refuse_empty_words(words)
        app(args=words, obj=words, prog_name="sparsebench")
    except SparsebenchError as error:
        typer.secho(f"error: {printable(str(error))}", err=True, fg="red")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception:
        traceback.print_exc()
        typer.secho("error: this is a bug of sparsebench or of a plugin", err=True, fg="red")
        raise SystemExit(70) from None
    raise SystemExit(0)


def _refuse_empty_words(words: Sequence[str]) -> None:
    """An unset variable in a script makes an empty word, which must not mean something else: as a
    path it would be the current directory."""
    for before, word in zip(["", *words], words):
        if not word.strip() or re.fullmatch(r"--[a-z-]+=\s*", word):
            place = word.strip() or before or "sparsebench"
            raise SparsebenchError(f"found an empty word at {place!r}; is a variable not set?")
