"""`sparsebench try`: from a data file to an answer in one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sparsebench.cli import options as o
from sparsebench.cli.data import file_dataset
from sparsebench.cli.export import REPORTS, report_text
from sparsebench.cli.output import print_json
from sparsebench.discovery import load_plugins
from sparsebench.errors import printable
from sparsebench.run.request import resolve
from sparsebench.run.user_config import DEFAULT_STORE
from sparsebench.store.safe_files import write_output
from sparsebench.store.store import Store
from sparsebench.suite.suite import parse_suite


def try_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A data file of your own.")],
    store: o.Store,
    data: o.Data,
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Its name, or position from 0; default: found."),
    ] = None,
    orientation: Annotated[
        Literal["samples-in-rows", "features-in-rows"],
        typer.Option(help="Whether a row is a sample, or a feature such as a gene."),
    ] = "samples-in-rows",
    missing: Annotated[
        Literal["mean", "median", "zero", "drop"] | None,
        typer.Option(
            help="What stands in for a missing value: the feature's mean or median over the "
            "training samples, or 0; or such samples are left out.",
            show_default="mean",
        ),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(min=0.1, help="For all trials; the least important ones are left out."),
    ] = 5.0,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="By how much sparse may be worse and still count as good: of the accuracy, or of "
            "the standard deviation of a target that is a number.",
            show_default="0.02, or 0.05",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The report, .html or .md.",
            show_default="NAME-report.html",
        ),
    ] = None,
    threads: Annotated[int | None, o.from_env("THREADS", "Threads of each trial.", min=1)] = None,
    dry_run: Annotated[bool, o.flag("--dry-run", "Only print the suite that would run.")] = False,
    json: o.Json = False,
) -> None:
    """Compare sparse and dense networks on a file of yours.

    Is a sparse network as good as a dense one on FILE, at which density, at what cost? Trains
    dense and sparse networks (SET, RigL, a fixed random topology) and scikit-learn's linear model
    and gradient boosting, on five folds or on the file's own training and test parts; sizes follow
    from the data. The answer, with the inputs that matter, is printed and leads the report. The
    same command again runs the trials that the time did not allow.
    """
    from sparsebench.first_look.facts import facts_of
    from sparsebench.first_look.plan import try_suite

    given = file_dataset(file, target, orientation)
    if missing is not None:
        given["missing"] = missing
    plugins = load_plugins(data_dir=data)
    read = plugins.validate("dataset", {"missing": "mean", **given}, "try")
    dataset = plugins.build("dataset", read)
    facts = facts_of(dataset.read())
    look = try_suite(dataset.file(), given, facts, minutes, margin)
    if dry_run:
        typer.echo(look.text(), nl=False)
        return
    report = output if output is not None else Path(f"{look.label}-report.html")
    kind = o.file_format(report, None, REPORTS, "html")
    request = resolve(
        parse_suite(look.text()), store=store, data=data, threads=threads,
        argv=tuple(sys.argv), time_limit=60 * minutes,
    )  # fmt: skip
    from sparsebench.cli.progress import listener
    from sparsebench.run import noise
    from sparsebench.run.session import run_trials

    with listener() as shown:
        for line in (*facts.notes, *noise.now()):
            shown.note(line)
        trials = look.ordered(request.trials)
        summary = run_trials(request.suite, trials, request.plugins, request.options, shown)
    run = Store(summary.store).run(summary.run)
    write_output(report, report_text([run], kind, report))
    from sparsebench.analysis.recommendation import recommended
    from sparsebench.analysis.report_data import report_data
    from sparsebench.report.answer import answer

    found = report_data([run])
    sentences, chosen = list(answer(found)), recommended(found)
    if json:
        print_json(
            {
                "run": summary.run,
                "store": str(Path(summary.store).resolve()),
                "report": str(report),
                "exit_code": summary.exit_code,
                "answer": sentences,
                "recommended": [str(trial) for trial in chosen["trial"]],
            }
        )
        raise typer.Exit(summary.exit_code)
    for sentence in sentences:
        typer.echo(printable(sentence))
    typer.echo(f"report: {report}")
    if len(chosen):
        where = "" if summary.store == DEFAULT_STORE else f" --store {summary.store}"
        typer.echo(f"next: sparsebench inputs {summary.run}{where}", err=True)
        typer.echo(f"      sparsebench export-model {summary.run}{where} -o predictor.py", err=True)
    raise typer.Exit(summary.exit_code)
