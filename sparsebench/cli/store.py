"""`sparsebench store`: whether the store is whole, and putting it in order."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from sparsebench.cli import options as o
from sparsebench.cli.listing import print_json, print_rows, print_tables
from sparsebench.errors import NothingMatched, StoreError

if TYPE_CHECKING:
    from sparsebench.store.store import Store
    from sparsebench.store.verify import Verdict

app = typer.Typer(help="Verify, rebuild and migrate the store.", no_args_is_help=True)


@app.command()
def verify(
    store: o.Store = o.DEFAULT_STORE, format: o.FormatOption = "text", json: o.Json = False
) -> None:
    """Look at every file of the store, and say what is damaged; changes nothing.

    Exit code 2 if anything is damaged; what killed processes left behind is only noted.
    """
    from sparsebench.store.verify import verify as look_at

    verdict = look_at(_opened(store))
    findings = [asdict(finding) for finding in verdict.findings]
    checked = {name: verdict.checked[name] for name in verdict.checked}
    if json or format == "json":
        print_json({"store": str(store), "checked": checked, "findings": findings})
    else:
        print_tables([[checked], findings], format)
    damaged = verdict.damaged
    if damaged:
        raise StoreError(_in_a_line(verdict))


@app.command()
def rebuild(store: o.Store = o.DEFAULT_STORE, json: o.Json = False) -> None:
    """Remove what killed processes left behind."""
    from sparsebench.store.verify import remove_leftovers

    shelf = _opened(store)
    _told({"store": str(store), "removed": remove_leftovers(shelf.path)}, json)


@app.command()
def migrate(store: o.Store = o.DEFAULT_STORE, json: o.Json = False) -> None:
    """Rewrite records of older formats in today's. Can be stopped, and run again."""
    from sparsebench.store.merge import migrate as bring_up

    done = bring_up(_opened(store))
    found: dict[str, Any] = {"store": str(store), **asdict(done)}
    if not json:
        found["damaged"] = len(done.damaged)
    _told(found, json)
    if done.damaged:
        raise StoreError(
            f"{done.damaged[0]} is damaged and was left as it is"
            f"{_and_more(len(done.damaged))}; next: sparsebench store verify"
        )


def _opened(path: Any) -> Store:
    """NothingMatched where there is none."""
    from sparsebench.store.store import Store

    shelf = Store(path)
    if shelf.schema is None:
        raise NothingMatched(f"there is no store in {path}")
    return shelf


def _told(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_rows([found])


def _in_a_line(verdict: Verdict) -> str:
    first, number = verdict.damaged[0], len(verdict.damaged)
    return f"{verdict.store / first.path}: {first.what}; {first.next}{_and_more(number)}"


def _and_more(number: int) -> str:
    return f" (and {number - 1} more)" if number > 1 else ""
