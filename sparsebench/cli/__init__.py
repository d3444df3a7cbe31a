"""The command line: a file per verb, each of which parses, calls and prints.

stdout carries the result, stderr the progress. Exit codes: 0 all good; 1 a trial failed; 2
usage or suite error; 5 nothing matched or nothing ran; 70 our bug; 130 and 143 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from sparsebench.cli import (
    data,
    doctor,
    export,
    fit,
    logs,
    ls,
    new,
    plan,
    prepare,
    report,
    run,
    show,
    status,
    validate,
)
from sparsebench.errors import SparsebenchError

app = typer.Typer(
    name="sparsebench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for _verb in (run, plan, validate, prepare, ls, show, logs, status, export, report, fit, doctor):
    app.command(_verb.__name__.rpartition(".")[2])(_verb.command)
app.add_typer(data.app, name="data")
app.add_typer(new.app, name="new")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("sparsebench"))
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Benchmark and reproduction suite for truly sparse neural-network training."""
    from sparsebench.cli.config import use_config

    if "--help" in (context.obj or ()):
        return
    try:
        use_config()
    except SparsebenchError:
        if context.invoked_subcommand != "doctor":  # which shows it
            raise


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. A user's mistake is one line; ours keeps its traceback."""
    words = sys.argv[1:] if args is None else list(args)
    try:
        app(args=words, obj=words, prog_name="sparsebench")
    except SparsebenchError as error:
        typer.secho(f"error: {' '.join(str(error).split())}", err=True, fg="red")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception:
        traceback.print_exc()
        typer.secho("error: this is a bug of sparsebench or of a plugin", err=True, fg="red")
        raise SystemExit(70) from None
    raise SystemExit(0)


__all__ = ["app", "main"]
