"""`sparsebench store` and `merge`: check and maintain stores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.output import print_rows, print_tables
from sparsebench.errors import NothingMatched, StoreError
from sparsebench.store.store import Store

app = typer.Typer(help="Verify, rebuild and migrate the store.", no_args_is_help=True)


@app.command()
def verify(store: o.Store, format: o.FormatOption = "text", json: o.Json = False) -> None:
    """Check every file of the store; changes nothing.

    Lists damaged files; the exit code is 2 if there are any. Files that killed processes left
    behind are only noted.
    """
    from sparsebench.store.verify import verify as check_files

    verdict = check_files(_opened(store))
    findings = [asdict(finding) for finding in verdict.findings]
    checked = dict(verdict.checked)
    found = {"store": str(store), "checked": checked, "findings": findings}
    print_tables([[checked], findings], format, json=found)
    if verdict.damaged:
        first = verdict.damaged[0]
        line = f"{verdict.store / first.path}: {first.what}; {first.next}"
        raise StoreError(line + _and_more(len(verdict.damaged)))


@app.command()
def rebuild(store: o.Store, json: o.Json = False) -> None:
    """Remove files that killed processes left behind."""
    from sparsebench.store.verify import remove_leftovers

    found = {"store": str(store), "removed": remove_leftovers(_opened(store).path)}
    print_rows([found], "json" if json else "text", json=found)


@app.command()
def migrate(store: o.Store, json: o.Json = False) -> None:
    """Rewrite records of older formats in the current format. May be interrupted and run again."""
    from sparsebench.store.merge import migrate as rewrite

    done = rewrite(_opened(store))
    found: dict[str, Any] = {"store": str(store), **asdict(done)}
    rows = [{**found, "damaged": len(done.damaged)}]
    print_rows(rows, "json" if json else "text", json=found)
    if done.damaged:
        raise StoreError(
            f"{done.damaged[0]} is damaged and was left as it is"
            f"{_and_more(len(done.damaged))}; next: sparsebench store verify"
        )


def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Stores to copy from.")],
    store: o.Store,
    json: o.Json = False,
) -> None:
    """Copy the runs and trials of other stores into this one.

    Records that the store already has are not changed. The sources are only read, and merging them
    again changes nothing.
    """
    from sparsebench.store.merge import merge as merge_stores

    done = {"store": str(store), **asdict(merge_stores(sources, store))}
    print_rows([done], "json" if json else "text", json=done)


def _opened(path: Path) -> Store:
    store = Store(path)
    if store.schema is None:
        raise NothingMatched(f"there is no store in {path}")
    return store


def _and_more(number: int) -> str:
    return f" (and {number - 1} more)" if number > 1 else ""
