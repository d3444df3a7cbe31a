"""The exit code of a run, and the failures that its suite expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.store.record import Record
from sparsebench.suite.labels import label
from sparsebench.suite.selectors import matches
from sparsebench.suite.suite import Suite

OK, FAILED, NOTHING_RAN = 0, 1, 5

NOT_RUN = (Status.SKIPPED, Status.UNSUPPORTED)


def expected(suite: Suite, trial: Trial) -> set[str]:
    """The statuses that the suite expects of a trial; empty if it expects success."""
    return {expect.status for expect in suite.expects if matches(expect.where, trial)}


def unexpected_failure(suite: Suite, record: Record) -> bool:
    return record.failed and record.status not in expected(suite, record.trial)


def missed_expectations(suite: Suite, records: Sequence[Record]) -> Iterator[str]:
    """A line for each trial that ran and ended otherwise than the suite expects. Trials without an
    expectation, and interrupted ones, give no line."""
    for record in records:
        wanted = expected(suite, record.trial)
        ran = record.status not in (*NOT_RUN, Status.INTERRUPTED)
        if wanted and ran and record.status not in wanted:
            yield (
                f"{label(record.trial)}: expected {' or '.join(sorted(wanted))}, "
                f"but it ended {record.status}"
            )


def never_updated(records: Sequence[Record]) -> Iterator[str]:
    """A line on the trials whose training was too short for an update of their topology."""
    still = [record.trial for record in records if record.settings.get("never_updated") is True]
    if still:
        names = ", ".join(sorted({str(trial.topology["name"]) for trial in still}))
        yield (
            f"in {len(still)} of {len(records)} trials the topology ({names}) was never updated: "
            "they have fewer steps than come before its first update; see update_every and epochs"
        )


def exit_code(suite: Suite, records: Sequence[Record]) -> int:
    """The exit code of a run that was not interrupted, from one record per trial: `NOTHING_RAN` if
    all were skipped or unsupported, `FAILED` after an interrupted trial, an unexpected failure or a
    missed expectation, else `OK`."""
    if all(record.status in NOT_RUN for record in records):
        return NOTHING_RAN
    failed = any(
        record.status == Status.INTERRUPTED or unexpected_failure(suite, record)
        for record in records
    )
    return FAILED if failed or any(missed_expectations(suite, records)) else OK
