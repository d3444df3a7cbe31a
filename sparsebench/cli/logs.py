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
    from sparsebench.store.store import Store

    shelf = Store(store)
    trial_id = shelf.trial_id(trial)
    known = shelf.attempts(trial_id)
    chosen = attempt if attempt is not None else max(known, default=0)
    if chosen not in known:
        wanted = "attempt" if attempt is None else f"attempt {attempt}"
        listed = ", ".join(map(str, known)) or "none"
        raise NothingMatched(f"no {wanted} at trial {trial}. Known: {listed}")
    for name in ("stdout.log", "stderr.log"):
        text = shelf.log(trial_id, chosen, name)
        typer.echo(f"== {name} of attempt {chosen}", err=True)
        typer.echo(text, nl=bool(text) and not text.endswith("\n"))
