"""Suites in a session of pytest: a run each, whose trials are reported as they end."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_sparsebench.command_line import SuiteRun, asked_for
from pytest_sparsebench.trial_items import SuiteNode, TrialItem
from sparsebench.core.trial import Trial
from sparsebench.errors import SparsebenchError, printable
from sparsebench.run.options import Listener, Summary
from sparsebench.run.session import run_trials
from sparsebench.store.record import Record

STOPPED = (130, 143)


class SuiteRuns:
    """The plugin that pytest gets when a suite is asked for."""

    def __init__(self, suite_runs: list[SuiteRun], *, only: bool) -> None:
        self._suite_runs = suite_runs
        self._only = only
        self._lines: list[str] = []

    @classmethod
    def asked(cls, config: pytest.Config) -> SuiteRuns:
        """Of the command line. UsageError for what is not usable there."""
        if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
            raise pytest.UsageError(
                "--sparsebench does not go with pytest-xdist: leave out -n, and if times do not "
                "matter use --sparsebench-args='--jobs N'"
            )
        try:
            found = asked_for(config.getoption("sparsebench"), config.getoption("sparsebench_args"))
        except SparsebenchError as error:
            raise pytest.UsageError(printable(str(error))) from None
        return cls(found, only=bool(config.getoption("sparsebench_only")))

    def pytest_ignore_collect(self) -> bool | None:
        return True if self._only else None

    @pytest.hookimpl(tryfirst=True)  # so that -k and -m see the trials
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        for suite_run in self._suite_runs:
            name = suite_run.asked.suite.name
            node = SuiteNode.from_parent(session, name=name, nodeid=name, suite_run=suite_run)
            report = session.ihook.pytest_make_collect_report(collector=node)
            session.ihook.pytest_collectreport(report=report)  # so that pytest counts them
            items.extend(item for item in report.result if isinstance(item, pytest.Item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """pytest's own loop does the other tests; then come the trials, which pytest would take
        for errors of the collection if they failed before it."""
        if session.config.option.collectonly:
            return (yield)
        chosen = [item for item in session.items if isinstance(item, TrialItem)]
        session.items = [item for item in session.items if not isinstance(item, TrialItem)]
        done = yield
        for suite_run in self._suite_runs:
            items = [item for item in chosen if item.suite_run is suite_run]
            if items:
                self._run(session, suite_run, items)
        return done

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A trial took as long as its record says, and not as its report."""
        report = yield
        if isinstance(item, TrialItem) and item.record is not None and call.when == "call":
            report.duration = float(item.record.measures.get("wall_seconds") or 0.0)
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._lines:
            terminalreporter.section("sparsebench")
            for line in self._lines:
                terminalreporter.write_line(line)

    def _run(self, session: pytest.Session, suite_run: SuiteRun, items: list[TrialItem]) -> None:
        asked, told = suite_run.asked, Told(session, items)
        try:
            summary = run_trials(
                asked.suite, [item.trial for item in items], asked.plugins, suite_run.options, told
            )
        except SparsebenchError as error:
            raise pytest.UsageError(printable(str(error))) from None
        finally:
            self._lines += told.lines
        if summary.exit_code in STOPPED:
            raise KeyboardInterrupt
        self._lines.append(
            f"run {summary.run}, {summary.reused} of {len(summary.records)} records reused; next: "
            f"sparsebench report {summary.run} --store {summary.store}"
        )


class Told(Listener):
    """Has each trial reported as a test when it ends; stops the run where pytest stops."""

    def __init__(self, session: pytest.Session, items: list[TrialItem]) -> None:
        self._session = session
        self._waiting: dict[str, list[TrialItem]] = {}
        for item in items:
            self._waiting.setdefault(item.trial.id, []).append(item)
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(f"note: {printable(line)}")

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        """A trial that may be tried again is reported at the end."""
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
