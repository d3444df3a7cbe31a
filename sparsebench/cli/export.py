"""`sparsebench export`, `report`, `fit`, `export-model`: write runs and networks as tables and
files."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsebench.cli import completion
from sparsebench.cli import options as o
from sparsebench.cli.output import append_step_summary, print_json, print_rows
from sparsebench.errors import NothingMatched, SparsebenchError, nearest
from sparsebench.store.safe_files import output_file, write_output
from sparsebench.store.store import Store
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

REPORTS = {"md": (".md",), "html": (".html", ".htm"), "latex": (".tex",)}
EXPORTS = {"csv": (".csv",), "json": (".json",), "parquet": (".parquet",)}
"""Formats, each with the endings of files that select it."""

ENDS = ("low", "high")
"""Suffixes of the columns with the ends of an interval."""


def export(
    run: o.RunName,
    store: o.Store,
    format: Annotated[
        str | None,
        typer.Option(
            help="csv, json or parquet; or for another tool: pytest-benchmark, bencher, "
            "github-action-benchmark (smaller is better) or github-action-benchmark-bigger. "
            "Default: by the ending of -o, else csv.",
        ),
    ] = None,
    epochs: Annotated[
        bool, o.flag("--epochs", "A row per epoch instead of one per trial.")
    ] = False,
    output: o.Output = None,
) -> None:
    """Write one row per trial of RUN, including the failed ones.

    The formats for other tools have one entry per cell, the trials that differ only in seed and
    fold.
    """
    from sparsebench.store.export_formats import exported

    kind = o.file_format(output, format, EXPORTS, "csv")
    content = exported(Store(store).run(run), kind, epochs=epochs)
    if output is not None:
        write_output(output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run ids or directories, or 'latest'.",
            autocompletion=completion.runs,
        ),
    ],
    store: o.Store,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help=f"{', '.join(REPORTS)}. Default: by the ending of -o, else md."
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="File to write, several times for several formats; the plots of markdown go beside"
            " it, html contains its own.",
        ),
    ] = None,
    history: Annotated[
        bool,
        o.flag("--history", "Add what earlier runs of the same suite in the store measured."),
    ] = False,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--rows",
            metavar="KEY",
            help="Only one table, md or latex, with a row per value of "
            "KEY: topology, topology.epsilon, dataset. Repeatable, as are the next two.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", metavar="KEY", help="Columns of that table.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Its numbers. Default: the primary metric."),
    ] = None,
) -> None:
    """Write a report of one or more runs.

    Accuracy, time, memory, claims, failures and plots.
    """
    if format is not None and format not in REPORTS:
        raise SparsebenchError(f"no report format {format!r}.{nearest(format, REPORTS)}")
    files: list[Path | None] = [*output] if output else [None]
    kinds = [o.file_format(file, format, REPORTS, "md") for file in files]
    found = [Store(store).run(name) for name in runs]
    earlier = _earlier(Store(store), found) if history else []
    table = bool(rows or columns)
    if metric and not table:
        raise SparsebenchError("--metric: give --rows or --columns too")
    summary = bool(os.environ.get("GITHUB_STEP_SUMMARY"))
    for file, kind in zip(files, kinds):
        if table:
            text = _one_table(found, kind, rows or [], columns or [], metric or [])
        else:
            text = report_text(found, kind, file, earlier)
        if kind == "html" and file is None:
            file = found[0].path / "report.html"
            typer.echo(str(file))
        if file is None:
            typer.echo(text, nl=False)
        else:
            write_output(file, text)
        if summary and kind == "md":
            append_step_summary(text)
            summary = False
    if summary:
        append_step_summary(_markdown(found, None))


def report_text(
    runs: Sequence[StoredRun], kind: str, file: Path | None, earlier: Sequence[StoredRun] = ()
) -> str:
    """A report in one of the formats `REPORTS`. The plots of markdown are written beside `file`, or
    without a file into the first run's folder.

    earlier  runs that only appear in the section on history
    """
    if kind == "html":
        from sparsebench.report.html.page import report as html_report

        return html_report(runs, earlier)
    if kind == "latex":
        from sparsebench.report.latex import report as latex_report

        return latex_report(runs)
    return _markdown(runs, file, earlier)


def _earlier(store: Store, runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The other runs of the same suites in the store."""
    own, suites = {run.id for run in runs}, {_suite(run) for run in runs}
    return [
        one for name in store.runs() if name not in own and _suite(one := store.run(name)) in suites
    ]


def _suite(run: StoredRun) -> str:
    return str(run.manifest.get("suite", ""))


def _one_table(
    runs: Sequence[StoredRun],
    kind: str,
    rows: Sequence[str],
    columns: Sequence[str],
    metrics: Sequence[str],
) -> str:
    if kind == "html":
        raise SparsebenchError("--rows and --columns make a table of md or latex; see --format")
    if kind == "latex":
        from sparsebench.report.latex import chosen

        return chosen(runs, rows, columns, metrics)
    from sparsebench.analysis.report_data import report_data
    from sparsebench.report.markdown_blocks import inline, printed
    from sparsebench.report.pivot import pivot

    made = pivot(report_data(runs).trained, rows, columns, metrics)
    return f"{printed(made)}\n\n{inline(made.caption)}\n"


def _markdown(
    runs: Sequence[StoredRun], output: Path | None, earlier: Sequence[StoredRun] = ()
) -> str:
    """The report as markdown. Its plots are written beside `output`, or else into the first run's
    folder."""
    from sparsebench.report.markdown import report as markdown_report

    if output is not None:
        return markdown_report(runs, output.parent, earlier, prefix=f"{output.stem}-")
    folder = runs[0].path
    return markdown_report(runs, folder, earlier, prefix="report-", links=f"{folder}/")


def fit(
    run: o.RunName,
    store: o.Store,
    x: Annotated[str, typer.Option("--x", help="Column of sizes.")] = "connections",
    y: Annotated[str, typer.Option("--y", help="Column that grows.")] = "net_peak_bytes",
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Columns that make a group; repeatable. Default: backend."),
    ] = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """Fit y = offset + factor x^exponent over the trials of a run.

    Uses the finished trials of each backend, or of each group of --by; a point is the mean over the
    seeds of one size. Needs three sizes, and four for 95 % intervals. Columns are those of
    `sparsebench export`.
    """
    from sparsebench.analysis.fits import fit_rows
    from sparsebench.analysis.report_data import report_data

    found = report_data([Store(store).run(run)])
    rows = list(fit_rows(found.ok, x, y, by or ["backend"]))
    if not rows and format != "json":
        typer.echo("no trial of this run finished", err=True)
    if format != "text":
        print_rows(rows, format)
        return
    typer.echo(f"{y} = offset + factor {x}^exponent, with 95 % intervals", err=True)
    print_rows([_fitted(row) for row in rows])


def _fitted(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a fit for the terminal, with each number and its interval in one cell."""
    names = ("exponent", "factor", "offset")
    hidden = {"x", "y", "x_least", "x_most", *names, *(f"{n}_{e}" for n in names for e in ENDS)}
    numbers = {}
    for name in names:
        found, low, high = (row.get(key) for key in (name, *(f"{name}_{end}" for end in ENDS)))
        interval = "" if low is None else f" ({low:.3g} to {high:.3g})"
        numbers[name] = "" if found is None else f"{found:.3g}{interval}"
    sizes = f"{row['sizes']}"
    if row.get("x_least") is not None:
        sizes += f", {row['x_least']:,.0f} to {row['x_most']:,.0f}"
    return {**{k: v for k, v in row.items() if k not in hidden}, "sizes": sizes, **numbers}


def _recommended_trial(run: StoredRun) -> str:
    from sparsebench.analysis.recommendation import recommended
    from sparsebench.analysis.report_data import report_data

    chosen = recommended(report_data([run]))
    if chosen.empty:
        raise NothingMatched(f"run {run.id} has trained no network")
    return str(chosen["trial"].iloc[0])


MODEL_ENDINGS = {
    "npz": (".npz",), "safetensors": (".safetensors",), "python": (".py",), "c": (".c",),
}  # fmt: skip


def inputs(
    run: o.RunName,
    store: o.Store,
    top: Annotated[int | None, typer.Option("-n", "--top", min=1, help="Only so many.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="To write: .csv or .json.")
    ] = None,
    format: o.FormatOption = "text",
    json: o.Json = False,
) -> None:
    """List the inputs by how much networks rely on them.

    The strength of an input is the sum of the magnitudes of its weights, as a share of the sum for
    all inputs, averaged over the networks of one cell, the trials that differ only in seed and
    fold. It is the sparsest cell whose claim holds or, if none holds, the one with the best mean.
    `sparsebench try` recommends the same cell.
    """
    from sparsebench.analysis.input_strength import input_strengths
    from sparsebench.analysis.recommendation import recommended
    from sparsebench.analysis.report_data import report_data

    found = report_data([Store(store).run(run)])
    strengths = input_strengths(found, recommended(found))
    if strengths is None:
        raise NothingMatched(f"run {run} has kept no network; set keep_model = true in its suite")
    rows = [
        {"rank": rank, "input": name, "share": float(f"{share:.4g}")}
        for rank, (name, share) in enumerate(zip(strengths.names, strengths.shares), 1)
    ][:top]
    if output is None:
        print_rows(rows, format)
        return
    import pandas as pd

    kind = o.file_format(output, None, {"csv": (".csv",), "json": (".json",)}, "csv")
    frame = pd.DataFrame(rows)
    text = frame.to_csv(index=False) if kind == "csv" else frame.to_json(orient="records")
    write_output(output, text)
    typer.echo(f"{output}: {len(rows)} inputs, strongest first: {rows[0]['input']}")


def export_model(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL|RUN",
            help="Trial id or its start, or words of its label; or a run, or 'latest'.",
            autocompletion=completion.trials,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="To write: .npz or .safetensors, csr arrays; .py or .c, a program that predicts.",
        ),
    ],
    store: o.Store,
    json: o.Json = False,
) -> None:
    """Write the trained network of a trial as arrays or a program.

    The arrays are W1.data, W1.indices, W1.indptr, b1, and so on. A program is one file in Python or
    C that needs no library. For a run, the network is the first one of the cell that `inputs` uses.
    """
    kind = o.file_format(output, None, MODEL_ENDINGS, "npz")
    results = Store(store)
    if trial == "latest" or trial in results.runs():
        trial = _recommended_trial(results.run(trial))
    record, file = results.find_model(trial)
    with output_file(output) as target:
        if kind == "npz":
            with file.open("rb") as source:
                shutil.copyfileobj(source, target)
        else:
            from sparsebench.standalone.formats import write_network

            write_network(file, kind, target)
    if json:
        facts = {"trial": record.trial.id, "attempt": record.attempt, "file": str(output)}
        print_json({**facts, "bytes": output.stat().st_size})
    else:
        typer.echo(f"{output}: {label(record.trial)}, attempt {record.attempt}")
