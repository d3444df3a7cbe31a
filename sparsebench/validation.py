"""What pydantic refuses as one line: the key, what was expected, what was found, what is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from sparsebench.errors import nearest

if TYPE_CHECKING:
    from pydantic import ValidationError

EXPECTED = {
    "string_type": "a text", "bool_type": "true or false", "list_type": "a list",
    "tuple_type": "a list", "int_type": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a number of 64 bits", "float_type": "a number",
    "finite_number": "a finite number", "dict_type": "a table", "model_type": "a table",
    "dataclass_type": "a table", "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}", "less_than": "less than {lt}",
}  # fmt: skip
"""By the type of an error, where the field has no description of its own."""


def complaint(error: ValidationError, model: Any = None, table: str = "a table") -> str:
    """The first error in a line. A field's description says what was expected there.

    model  the dataclass that was validated; with it, an unknown key has its nearest match
    table  what the format calls a table
    """
    first = error.errors(include_url=False)[0]
    kind, found, context = first["type"], first["input"], first.get("ctx", {})
    field, known = _field(model, first["loc"])
    at = place(first["loc"])
    if kind == "missing":
        return f"{at}: missing; it is required"
    if kind == "unexpected_keyword_argument":
        hint = f".{nearest(str(first['loc'][-1]), known)}" if known else ""
        return f"{at}: unknown key{hint}"
    if kind == "value_error":  # of a validator of ours: may go on with the place inside the value
        text = str(context["error"])
        return at + text if text[:1] in ("[", ".", ":") and at else f"{at}: {text}".lstrip(": ")
    if kind == "json_invalid":
        deep = "recursion limit" in context["error"]
        return "it is nested too deeply" if deep else f"it is no JSON: {context['error']}"
    expected = field or EXPECTED.get(kind, "").format(**context).replace("a table", table)
    if kind in ("enum", "literal_error"):
        known = re.findall(r"'([^']*)'", context["expected"])
        if known and isinstance(found, str):
            return f"{at}: unknown {at.rpartition('.')[2]} {shown(found)}.{nearest(found, known)}"
        expected = expected or context["expected"]
    if not expected:
        return f"{at}: {first['msg']}, found {shown(found)}"
    return f"{at or 'it'}: expected {expected}, found {shown(found)}"


def place(steps: tuple[int | str, ...]) -> str:
    """`grid."model.hidden"[0]`: a place in a file as TOML would write it."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{quoted(step)}" for step in steps)
    return "".join(parts).removeprefix(".")


def check_plain(value: object, where: str = "") -> None:
    """ValueError for what no record can hold: dates, nan, infinities, numbers past 64 bits."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_plain(item, f"{where}.{quoted(str(key))}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_plain(item, f"{where}[{index}]")
    elif isinstance(value, float) and not -float("inf") < value < float("inf"):
        raise ValueError(f"{where}: expected a finite number, found {value!r}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{where}: found a number that does not fit in 64 bits")
    elif not isinstance(value, str | int | float | bool):
        raise ValueError(
            f"{where}: expected a text, number, list or table, found {shown(str(value))}"
        )


def quoted(key: str) -> str:
    """A key as TOML writes it: bare where it can be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else repr(key).replace("'", '"')


def shown(value: object) -> str:
    """A found value in at most 80 characters of one line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + " ..."


def _field(model: Any, steps: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """The description of the field at a place inside a dataclass, and the names beside it."""
    description, known = "", list[str]()
    for step in steps:
        if isinstance(step, str):
            hints = get_type_hints(model, include_extras=True) if is_dataclass(model) else {}
            named = (
                {_alias(hints[f.name]) or f.name: hints[f.name] for f in fields(model)}
                if (hints)
                else {}
            )
            known, hint = list(named), named.get(step)
            marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
            description = next((m.description for m in marks if getattr(m, "description", 0)), "")
            model = next((one for one in _inside(hint) if is_dataclass(one)), None)
    return description, known


def _alias(hint: Any) -> str:
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((mark.alias for mark in marks if getattr(mark, "alias", None)), "")


def _inside(hint: Any) -> list[Any]:
    return [hint, *(one for part in get_args(hint) for one in _inside(part))]
