"""The keys of a suite's [trial] table; unknown ones are refused.

Unknown keys of all other tables are refused by the models in `suite.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sparsebench.core.trial import PARTS
from sparsebench.errors import SuiteError, nearest, shown
from sparsebench.pydantic_errors import complaint
from sparsebench.suite.defaults import TrialValues

PLAIN = tuple(one.name for one in fields(TrialValues))
"""The keys of a trial that are not components."""

TRIAL_KEYS = (*PARTS, *PLAIN, "observers")
"""All keys below [trial]."""

SELECTOR_KEYS = (*PARTS, *PLAIN, "prune")
"""All keys of a selector such as `where`."""

_FORM = TypeAdapter(TrialValues)


def check_key(key: str, known: Sequence[str], *, dotted: bool = True) -> None:
    """Raise SuiteError for a key that no trial can have, such as `topolgy` or `seed.x`.

    dotted  whether a parameter of a component is allowed too, as in `model.hidden`
    """
    head, dot, rest = key.partition(".") if dotted else (key, "", "")
    if head not in known:
        raise SuiteError(f"unknown key {key!r}.{nearest(head, known)}")
    if dot and (head not in (*PARTS, "prune") or not all(rest.split("."))):
        raise SuiteError(
            f"unknown key {key!r}: only components have parameters: {', '.join(PARTS)}"
        )


def trial_values(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a raw trial that are not components, with defaults filled in. Raises SuiteError
    if one is invalid.

    raw  the suite's [trial], with the values of the grid
    """
    values = {key: value for key, value in raw.items() if key in PLAIN}
    for key, value in values.items():
        if isinstance(value, list):
            raise SuiteError(f"trial.{key}: {one_value(value)}")
        if value is None:
            raise SuiteError(f"trial.{key}: expected a value, found nothing")
    try:
        return asdict(_FORM.validate_python(values))
    except ValidationError as error:
        raise SuiteError(f"trial.{complaint(error, TrialValues)}") from None


def one_value(found: object) -> str:
    """The end of an error about the list `found` where one value is expected."""
    return f"found {shown(found)}; a list means one trial each only in [grid]"
