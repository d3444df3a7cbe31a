"""`sparsebench merge`: the stores of several machines as one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.cli.listing import print_json, print_rows


def command(
    sources: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Stores to copy from.")],
    store: o.Store = o.DEFAULT_STORE,
    json: o.Json = False,
) -> None:
    """Copy the runs and trials of STORE... into the store; what is there already, once.

    A source is only read. Merging the same again changes nothing.
    """
    from sparsebench.store.merge import merge

    done = {"store": str(store), **asdict(merge(sources, store))}
    if json:
        print_json(done)
    else:
        print_rows([done])
