"""The arguments and options that several commands share, each declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sparsebench import folders
from sparsebench.cli import completion
from sparsebench.errors import SparsebenchError, SuiteError
from sparsebench.run.user_config import DEFAULT_STORE, data_directory, store_directory

Format = Literal["text", "md", "json"]


def flag(name: str, help: str) -> Any:
    """Declare a boolean option that has no `--no-` form."""
    return typer.Option(name, help=help)


def from_env(name: str, help: str, **more: Any) -> Any:
    """Declare an option that can also be set by the environment variable SPARSEBENCH_<name>."""
    return typer.Option(envvar=f"SPARSEBENCH_{name}", help=help, **more)


def _default_store() -> Path:
    """The folder of the default store. If config.toml is invalid, the built-in default: then only
    `doctor` and `--help` go on, and `doctor` reports the error."""
    try:
        return store_directory()
    except SuiteError:
        return DEFAULT_STORE


def _default_data() -> Path:
    try:
        return data_directory()
    except SuiteError:
        return folders.data_directory()


def _json_wins(context: typer.Context, value: str) -> str:
    return "json" if context.params.get("json") else value


SuiteName = Annotated[
    str,
    typer.Argument(
        metavar="SUITE",
        help="Name from suites/, or a path.",
        autocompletion=completion.suites,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Run id, run directory, or 'latest'.",
        autocompletion=completion.runs,
    ),
]
TrialId = Annotated[
    str,
    typer.Argument(
        metavar="TRIAL",
        help="Trial id or its start; or words of its label, as -k takes them.",
        autocompletion=completion.trials,
    ),
]

Store = Annotated[
    Path,
    from_env(
        "STORE", "Store of results.", parser=store_directory, default_factory=_default_store,
        metavar="DIR", show_default=".sparsebench",
    ),
]  # fmt: skip
Data = Annotated[
    Path,
    from_env(
        "DATA", "Directory of data sets.", parser=data_directory, default_factory=_default_data,
        metavar="DIR", show_default="in the user's cache",
    ),
]  # fmt: skip
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE", help="Plugin file; repeatable.")
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="File to write. Default: stdout."),
]
Json = Annotated[bool, typer.Option("--json", is_eager=True, help="Print JSON.")]
"""Sets `format` to "json", so that a command needs to check only that."""

_FORMAT = typer.Option("--format", callback=_json_wins, help="Output format.")
FormatOption = Annotated[Format, _FORMAT]
TableFormatOption = Annotated[Literal["table", "md", "json"], _FORMAT]
ComparisonFormatOption = Annotated[Literal["table", "md", "json", "junit"], _FORMAT]

GateFile = Annotated[
    Path | None, typer.Option("--gates", metavar="FILE", help="TOML file of gates.")
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="METRIC:AMOUNT",
        help="A gate such as 'net_peak_bytes:+5%,2MiB' or 'epoch_seconds:+15%'; repeatable.",
    ),
]
MinSeeds = Annotated[
    int | None,
    typer.Option(
        min=2, help="A metric that varies is not judged on fewer seeds or pairs. Default: 5."
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(help="Rate of false alarms of a metric over all its cells. Default: 0.05."),
]
Strict = Annotated[bool, flag("--strict", "End with exit code 6 if anything could not be decided.")]


def file_format(
    file: Path | None, chosen: str | None, endings: Mapping[str, Sequence[str]], default: str
) -> str:
    """The format of an output: `chosen` by --format, else the one for the file's ending.

    Raises SparsebenchError for an unknown ending, and for the ending of another format than the
    chosen one. A pipe or a device, such as /dev/null, needs no ending.
    """
    if file is None or (file.exists() and not file.is_file()):
        return chosen or default
    ending = file.suffix.lower()
    meant = next((name for name, known in endings.items() if ending in known), None)
    if chosen is None and meant is None:
        known = ", ".join(ending for one in endings.values() for ending in one)
        found = f"found {ending!r}" if ending else "it has none"
        raise SparsebenchError(
            f"-o {file}: the ending decides the format, and {found}. Known: {known}"
        )
    if chosen in endings and meant not in (None, chosen):
        raise SparsebenchError(f"-o {file}: {ending} is the ending of {meant}, not of {chosen}")
    return chosen or meant or default


def selection(
    suite: SuiteName,
    store: Store,
    data: Data,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a path below [trial]; repeatable."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="0:5 (0 to 4) or 0,3,7.")] = None,
    quick: Annotated[bool, flag("--quick", "Apply the suite's [quick].")] = False,
    select: Annotated[
        str | None,
        typer.Option("-k", metavar="EXPR", help="Only trials whose label or components match."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="N/OF", help="Only this part of the trials: 2/8 is the second of 8."),
    ] = None,
    threads: Annotated[int | None, from_env("THREADS", "Threads of each trial.", min=1)] = None,
    timeout: Annotated[str | None, from_env("TIMEOUT", "For each trial: 30m, 2h.")] = None,
    memory_limit: Annotated[str | None, from_env("MEMORY_LIMIT", "For each trial: 8GiB.")] = None,
    retries: Annotated[
        int | None,
        typer.Option(min=0, help="Attempts more after a crash or a kill."),
    ] = None,
    plugins: PluginFiles = None,
    allow_plugins: Annotated[
        bool,
        flag("--allow-plugins", "Load the plugins of a suite outside the current directory."),
    ] = False,
) -> None:
    """The options that choose and configure trials."""


def execution(
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            envvar="SPARSEBENCH_JOBS",
            help="Trials at the same time; their times are not comparable with those of one.",
            min=1,
            show_default="1",
        ),
    ] = None,
    executor: Annotated[
        str | None, from_env("EXECUTOR", "What runs the trials.", show_default="local")
    ] = None,
    address: Annotated[
        str | None, from_env("ADDRESS", "Scheduler of a cluster: tcp://...", metavar="URL")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Reuse finished records that are valid.")] = True,
    rerun: Annotated[
        Literal["failed", "all"] | None, typer.Option(help="Run these trials again.")
    ] = None,
    reuse_stale: Annotated[
        bool, flag("--reuse-stale", "Also reuse records of older code.")
    ] = False,
    fail_fast: Annotated[bool, flag("--fail-fast", "Stop at the first failure.")] = False,
    predict: Annotated[
        bool, typer.Option("--plan/--no-plan", help="Skip trials that cannot fit the memory limit.")
    ] = True,
    audit: Annotated[
        bool, typer.Option(help="Check once per machine that the backends do no dense work.")
    ] = False,
    debug: Annotated[bool, flag("--debug", "Run one trial in this process, with pdb.")] = False,
    identify: Annotated[
        bool, flag("--identify", "Record this host's name in the manifest.")
    ] = False,
) -> None:
    """The further options of `run`."""


def with_options(*groups: Callable[..., None]) -> Callable[[Callable[..., None]], Any]:
    """Add the parameters of these functions, such as `selection`, to a command as options. The
    command receives their values as a dict, its first argument, for `run.request.resolve`."""
    shared = [
        parameter
        for group in groups
        for parameter in inspect.signature(group, eval_str=True).parameters.values()
    ]

    def decorate(verb: Callable[..., None]) -> Any:
        own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]

        @functools.wraps(verb)
        def command(**values: Any) -> None:
            verb({parameter.name: values.pop(parameter.name) for parameter in shared}, **values)

        required = [p for p in [*own, *shared] if p.default is p.empty]
        optional = [p for p in [*shared, *own] if p.default is not p.empty]
        command.__signature__ = inspect.Signature(required + optional)  # type: ignore[attr-defined]
        return command

    return decorate
