"""The command line: each module has commands that parse, call and print.

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
    baseline,
    compare,
    data,
    doctor,
    export,
    ls,
    new,
    run,
    show,
    store,
    try_file,
)
from sparsebench.errors import SparsebenchError, printable
from sparsebench.run.user_config import read_config

if TYPE_CHECKING:
    from sparsebench.registry import Command

EXIT_CODES = {
    0: "all good",
    1: "a trial failed, timed out or ran out of memory unexpectedly",
    2: "the command line, a suite, a plugin, data or the store is not usable",
    3: "compare, ab: a gate failed",
    4: "check: a claim fails",
    5: "nothing matched, or nothing ran",
    6: "compare, ab, check: nothing decided; with --strict, not everything",
    70: "a bug of sparsebench or of a plugin",
    130: "interrupted (Ctrl-C); finished trials are kept",
    143: "terminated; finished trials are kept",
}
VERBS = (
    run.run, run.plan, run.validate, run.prepare, ls.ls, show.show, show.logs, show.status,
    export.export, export.report, compare.compare, compare.ab, compare.check, export.fit,
    store.merge, doctor.doctor, export.inputs, export.export_model,
)  # fmt: skip
GROUPS = {"baseline": baseline.app, "data": data.app, "new": new.app, "store": store.app}


class _Verbs(typer.core.TyperGroup):
    """The built-in commands, and those of plugins. Plugins are imported only for a word that is not
    a built-in command, so that a plugin that hangs or fails cannot break `--help`. `ls plugins`
    lists their commands."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        built_in = super().get_command(ctx, cmd_name)
        if built_in is not None or cmd_name not in (commands := plugin_commands()):
            return built_in
        verb = typer.Typer(add_completion=False, rich_markup_mode=None)
        verb.command(cmd_name)(commands[cmd_name].load())
        return typer.main.get_command(verb)


def plugin_commands() -> dict[str, Command]:
    """The commands that plugins add, by name. Imports the plugins."""
    from sparsebench.discovery import load_plugins

    return load_plugins().commands


app = typer.Typer(
    name="sparsebench", cls=_Verbs, no_args_is_help=True,
    pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
app.command("try")(try_file.try_)  # which Python reserves
for _verb in VERBS:
    app.command()(_verb)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("sparsebench"))
        raise typer.Exit


@app.callback(
    epilog="`sparsebench ls plugins` lists the commands that plugins add.\n\n\b\nExit codes:\n"
    + "\n".join(f"{code:>5}  {meaning}" for code, meaning in EXIT_CODES.items())
)
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
    if "--help" not in context.obj and context.invoked_subcommand != "doctor":  # which shows it
        read_config()


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. A user's mistake is one line; a bug keeps its traceback."""
    words = sys.argv[1:] if args is None else list(args)
    try:
        # an unset variable in a script makes an empty word: as a path it would be the current
        # directory
        for before, word in zip(["", *words], words):
            if not word.strip() or re.fullmatch(r"--[a-z-]+=\s*", word):
                place = word.strip() or before or "sparsebench"
                raise SparsebenchError(f"found an empty word at {place!r}; is a variable not set?")
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
