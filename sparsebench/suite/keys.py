"""The keys of a suite's [trial] table; unknown ones are refused.

Unknown keys of all other tables are refused by the models in `suite.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, TypeAdapter, ValidationError

from sparsebench.core.trial import PARTS, SCALINGS, fold_of
from sparsebench.errors import SuiteError, nearest, shown
from sparsebench.machine import default_threads
from sparsebench.pydantic_errors import complaint
from sparsebench.units import seconds, size

Whole0 = Annotated[int, Strict(), Field(ge=0, description="a whole number from 0")]
Whole1 = Annotated[int, Strict(), Field(ge=1, description="a whole number from 1")]
Share = Annotated[float, Strict(), Field(ge=0, lt=1, description="a share from 0 to less than 1")]


def _fold(text: str) -> str:
    fold_of(text)
    return text


Fold = Annotated[str, Strict(), AfterValidator(_fold), Field(description="a fold such as '2/5'")]
Flag = Annotated[bool, Strict(), Field(description="true or false")]
Seconds = Annotated[float, BeforeValidator(seconds)]
Bytes = Annotated[int, BeforeValidator(size)]


@dataclass(frozen=True, kw_only=True)
class TrialValues:
    """The values of a trial that are not components, in a Trial's units, with their defaults."""

    epochs: Whole1
    batch_size: Whole1 = 128
    threads: Whole1 = field(default_factory=default_threads)
    seed: Whole0 = 0
    split_seed: Whole0 | None = None
    fold: Fold | None = None
    validation: Share = 0.0
    huge_pages: Flag = False
    scaling: Literal["feature", "data", "range", "none"] = SCALINGS[0]  # type: ignore[assignment]
    timeout: Seconds | None = None
    memory_limit: Bytes | None = None
    retries: Whole0 = 0
    checkpoint: Seconds | None = None
    keep_model: Flag | None = None


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
    """The values of a raw trial that are not components; SuiteError if one is invalid."""
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
    """The error about a list where one value is expected."""
    return f"found {shown(found)}; a list means one trial each only in [grid]"
