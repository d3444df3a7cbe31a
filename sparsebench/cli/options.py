"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Format = Literal["text", "md", "json"]

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="Name from suites/, or a path.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Run id, run directory, or 'latest'.")]
TrialId = Annotated[str, typer.Argument(metavar="TRIAL", help="Trial id, or the start of one.")]

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a path below [trial]; repeatable."),
]
Seeds = Annotated[str | None, typer.Option(help="0:5 (0 to 4) or 0,3,7.")]
Quick = Annotated[bool, typer.Option("--quick", help="Apply the suite's [quick].")]
Select = Annotated[
    str | None,
    typer.Option("-k", metavar="EXPR", help="Trials whose label or components match EXPR."),
]
Store = Annotated[Path, typer.Option(envvar="SPARSEBENCH_STORE", help="Store of results.")]
DEFAULT_STORE = Path(".sparsebench")
Data = Annotated[
    Path | None, typer.Option(envvar="SPARSEBENCH_DATA", help="Directory of data sets.")
]
Threads = Annotated[
    int | None, typer.Option(envvar="SPARSEBENCH_THREADS", min=1, help="Threads of a trial.")
]
Timeout = Annotated[
    str | None, typer.Option(envvar="SPARSEBENCH_TIMEOUT", help="Of a trial: 30m, 2h.")
]
MemoryLimit = Annotated[
    str | None, typer.Option(envvar="SPARSEBENCH_MEMORY_LIMIT", help="Of a trial: 8GiB.")
]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE", help="Plugin file; repeatable.")
]
AllowPlugins = Annotated[
    bool,
    typer.Option("--allow-plugins", help="Run plugins of a suite outside this directory."),
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="N/OF", help="Of the trials, this part: 2/8 is the second of eight."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
