"""`sparsebench logs`: what a trial's process wrote."""

from __future__ import annotations

from typing import Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.errors import NothingMatched


def command(
    trial: o.TrialId,
    attempt: Annotated[int | None, typer.Option(help="Which attempt; default: the last.")] = None,
    store: o.Store = o.DEFAULT_STORE,
) -> None:
    """Print what TRIAL wrote to stdout and stderr, also while it runs."""
    from sparsebench.records.store import Store

    shelf = Store(store)
    shelf.find_trial(trial)
    folders = {
        int(folder.name): folder
        for folder in shelf.path.glob(f"trials/??/{trial}*/*")
        if folder.name.isdecimal()
    }
    if not folders or (attempt is not None and attempt not in folders):
        known = ", ".join(map(str, sorted(folders))) or "none"
        wanted = "attempt" if attempt is None else f"attempt {attempt}"
        raise NothingMatched(f"no {wanted} at trial {trial}. Known: {known}")
    folder = folders[attempt if attempt is not None else max(folders)]
    for name in ("stdout.log", "stderr.log"):
        file = folder / name
        text = file.read_text(errors="replace") if file.is_file() else ""
        typer.echo(f"== {name} of attempt {folder.name}", err=True)
        typer.echo(text, nl=bool(text) and not text.endswith("\n"))
