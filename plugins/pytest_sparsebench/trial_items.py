"""A trial as a test: how it ended decides whether it passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_sparsebench.command_line import SuiteRun
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import printable, spelt_out
from sparsebench.metrics import BUILT_IN
from sparsebench.run.exit_codes import NOT_RUN, expected
from sparsebench.store.record import Record
from sparsebench.suite.labels import label

MEASURED = [metric.name for metric in BUILT_IN.values() if metric.tracked and metric.gate]
"""What a JUnit file gets of a trial, as properties."""


class TrialFailed(Exception):
    """How a trial ended that should have ended otherwise."""


class SuiteNode(pytest.Collector):
    """A suite, as the parent of its trials."""

    def __init__(self, *, suite_run: SuiteRun, **given: Any) -> None:
        super().__init__(**given)
        self.suite_run = suite_run

    def collect(self) -> Iterator[pytest.Item]:
        taken: set[str] = set()
        for trial in self.suite_run.asked.trials:
            words = printable(label(trial))
            name = f"{words} {trial.id}" if words in taken else words
            taken.add(words)
            yield TrialItem.from_parent(self, name=name, trial=trial, suite_run=self.suite_run)


class TrialItem(pytest.Item):
    """record  how the trial ended; None until it has run."""

    def __init__(self, *, trial: Trial, suite_run: SuiteRun, **given: Any) -> None:
        super().__init__(**given)
        self.trial = trial
        self.suite_run = suite_run
        self.record: Record | None = None

    def runtest(self) -> None:
        """By its record, which is there by now: pass, skip, xfail or fail."""
        record = self.record
        if record is None:
            raise TrialFailed("it did not run: the run ended before its turn")
        measures = record.measures
        self.user_properties += [(k, measures[k]) for k in MEASURED if measures.get(k) is not None]
        if record.status in NOT_RUN:
            pytest.skip(printable(record.detail or record.cause) or str(record.status))
        wanted = expected(self.suite_run.asked.suite, record.trial)
        if record.status in wanted:
            pytest.xfail(_told(record))
        if wanted:
            raise TrialFailed(
                f"expected {' or '.join(sorted(wanted))}, but it ended {record.status}"
            )
        if record.status is not Status.OK:
            raise TrialFailed(_told(record))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A line on how it ended, and the end of its log; a traceback only for what is a bug."""
        if not isinstance(excinfo.value, TrialFailed):
            return super().repr_failure(excinfo, style)
        lines = [str(excinfo.value)]
        if self.record is not None:
            lines += map(spelt_out, self.record.log_tail.rstrip().expandtabs().splitlines())
            lines.append(f"trial {self.trial.id} in {self.suite_run.options.store}")
        return "\n".join(lines)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, f"{self.suite_run.asked.suite.name}: {self.name}"


def _told(record: Record) -> str:
    parts = [str(record.status), record.cause, record.detail]
    return printable(", ".join(filter(None, parts)))
