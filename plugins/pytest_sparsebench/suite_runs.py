"""Runs suites in a pytest session: each suite is one run, and each of its trials is reported as a
test when it ends."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import typer

from pytest_sparsebench.bench import how_it_ended
from sparsebench.cli.run import run
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import SparsebenchError, escape_unprintable, printable
from sparsebench.metrics import BUILT_IN
from sparsebench.run.exit_codes import NOT_RUN, expected
from sparsebench.run.options import Listener, Summary
from sparsebench.run.request import RunRequest, resolve
from sparsebench.run.session import run_trials
from sparsebench.store.record import Record
from sparsebench.suite.labels import label

STOPPED = (130, 143)
NOT_HERE = {"dry_run": "--collect-only", "debug": "--pdb on a test of your own"}
"""Options of `sparsebench run` that make no sense here, and what to use instead."""
MEASURED = [metric.name for metric in BUILT_IN.values() if metric.tracked and metric.gate]
"""Metrics that become properties of a trial in a JUnit file."""


def request_of(suite: str, options: str) -> RunRequest:
    """The request to run `suite` with `options`, which the parser of `sparsebench run` reads.

    Raises SparsebenchError, with a message of one line, if the suite or an option is not usable.
    """
    try:
        words = [suite, *shlex.split(options)]
    except ValueError as error:
        raise SparsebenchError(f"--sparsebench-args {options!r}: {error}") from None

    @functools.wraps(run)
    def options_of(**values: Any) -> dict[str, Any]:
        return values

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(add_help_option=False)(options_of)
    try:
        found = typer.main.get_command(app).main(words, standalone_mode=False)
    except Exception as error:
        complaint = getattr(error, "format_message", None)  # of every complaint about usage
        if complaint is None:
            raise
        raise SparsebenchError(f"--sparsebench-args: {complaint()}") from None
    for name, instead in NOT_HERE.items():
        if found[name]:
            option = f"--{name.replace('_', '-')}"
            raise SparsebenchError(f"--sparsebench-args: {option} is not for pytest; see {instead}")
    how = {key: value for key, value in found.items() if key not in ("dry_run", "format", "json")}
    return resolve(**how, argv=("sparsebench", "run", *words))


class SuiteRuns:
    """The pytest plugin that is registered if the command line has --sparsebench."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the command line. Raises UsageError if it is not usable."""
        if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
            raise pytest.UsageError(
                "--sparsebench does not go with pytest-xdist: leave out -n, and if times do not "
                "matter use --sparsebench-args='--jobs N'"
            )
        suites, options = config.getoption("sparsebench"), config.getoption("sparsebench_args")
        try:
            self._requests = [request_of(suite, options) for suite in dict.fromkeys(suites)]
        except SparsebenchError as error:
            raise pytest.UsageError(printable(str(error))) from None
        self._only = bool(config.getoption("sparsebench_only"))
        self._lines: list[str] = []

    def pytest_ignore_collect(self) -> bool | None:
        return True if self._only else None

    @pytest.hookimpl(tryfirst=True)  # so that -k and -m see the trials
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        for request in self._requests:
            name = request.suite.name
            node = SuiteNode.from_parent(session, name=name, nodeid=name, request=request)
            report = session.ihook.pytest_make_collect_report(collector=node)
            session.ihook.pytest_collectreport(report=report)  # so that pytest counts them
            items.extend(item for item in report.result if isinstance(item, pytest.Item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Run the other tests in pytest's own loop first, then the trials: pytest would count a
        trial that failed before its loop as an error of collection."""
        if session.config.option.collectonly:
            return (yield)
        chosen = [item for item in session.items if isinstance(item, TrialItem)]
        session.items = [item for item in session.items if not isinstance(item, TrialItem)]
        done = yield
        for request in self._requests:
            items = [item for item in chosen if item.request is request]
            if not items:
                continue
            reporter, trials = TrialReporter(session, items), [item.trial for item in items]
            try:
                summary = run_trials(
                    request.suite, trials, request.plugins, request.options, reporter
                )
            except SparsebenchError as error:
                raise pytest.UsageError(printable(str(error))) from None
            finally:
                self._lines += reporter.lines
            if summary.exit_code in STOPPED:
                raise KeyboardInterrupt
            self._lines.append(
                f"run {summary.run}, {summary.reused} of {len(summary.records)} records reused; "
                f"next: sparsebench report {summary.run} --store {summary.store}"
            )
        return done

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Set the duration of a trial's test to the wall time in its record."""
        report = yield
        if isinstance(item, TrialItem) and item.record is not None and call.when == "call":
            report.duration = float(item.record.measures.get("wall_seconds") or 0.0)
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._lines:
            terminalreporter.section("sparsebench")
            for line in self._lines:
                terminalreporter.write_line(line)


class TrialReporter(Listener):
    """Reports each trial as a test when it ends, and stops the run if pytest stops."""

    def __init__(self, session: pytest.Session, items: list[TrialItem]) -> None:
        self._session = session
        self._waiting: dict[str, list[TrialItem]] = {}
        for item in items:
            self._waiting.setdefault(item.trial.id, []).append(item)
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(f"note: {printable(line)}")

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        """Report the trial at once, or at the end of the run if it may be retried."""
        for item in self._waiting.get(trial.id, ()):
            item.record = record
        if not trial.retries:
            self._report(trial.id)

    def ended(self, summary: Summary) -> None:
        for trial_id in list(self._waiting):
            self._report(trial_id)

    def _report(self, trial_id: str) -> None:
        for item in self._waiting.pop(trial_id, ()):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if self._session.shouldfail:
                raise self._session.Failed(self._session.shouldfail)
            if self._session.shouldstop:
                raise self._session.Interrupted(self._session.shouldstop)


class TrialFailed(Exception):
    """A trial ended in another way than expected."""


class SuiteNode(pytest.Collector):
    """The collector of a suite's trials."""

    def __init__(self, *, request: RunRequest, **more: Any) -> None:
        super().__init__(**more)
        self.request = request

    def collect(self) -> Iterator[pytest.Item]:
        used: set[str] = set()
        for trial in self.request.trials:
            words = printable(label(trial))
            name = f"{words} {trial.id}" if words in used else words
            used.add(words)
            yield TrialItem.from_parent(self, name=name, trial=trial, request=self.request)


class TrialItem(pytest.Item):
    """One trial as a test. record: how it ended; None until it has run."""

    def __init__(self, *, trial: Trial, request: RunRequest, **more: Any) -> None:
        super().__init__(**more)
        self.trial = trial
        self.request = request
        self.record: Record | None = None

    def runtest(self) -> None:
        """Pass, skip, xfail or fail, according to the trial's record."""
        record = self.record
        if record is None:
            raise TrialFailed("it did not run: the run ended before its turn")
        measures = record.measures
        self.user_properties += [(k, measures[k]) for k in MEASURED if measures.get(k) is not None]
        if record.status in NOT_RUN:
            pytest.skip(printable(record.detail or record.cause) or str(record.status))
        wanted = expected(self.request.suite, record.trial)
        if record.status in wanted:
            pytest.xfail(how_it_ended(record))
        if wanted:
            raise TrialFailed(
                f"expected {' or '.join(sorted(wanted))}, but it ended {record.status}"
            )
        if record.status is not Status.OK:
            raise TrialFailed(how_it_ended(record))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """How the trial ended and the end of its log; a traceback only for a bug."""
        if not isinstance(excinfo.value, TrialFailed):
            return super().repr_failure(excinfo, style)
        lines = [str(excinfo.value)]
        if self.record is not None:
            lines += map(
                escape_unprintable, self.record.log_tail.rstrip().expandtabs().splitlines()
            )
            lines.append(f"trial {self.trial.id} in {self.request.options.store}")
        return "\n".join(lines)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, f"{self.request.suite.name}: {self.name}"
