"""Turns an error of pydantic into one line: the key, what was expected, what was found."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from sparsebench.errors import nearest, shown
from sparsebench.toml_file import place

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
"""What was expected, by the type of the error, for fields without a description of their own."""


def complaint(error: ValidationError, model: Any = None, table: str = "a table") -> str:
    """A line on the first unknown key, or else on the first error. The description of a field says
    which value was expected.

    model  the dataclass that was validated; needed to name the nearest match of an unknown key
    table  what a table (a JSON object) is called in the format of the file
    """
    errors = error.errors(include_url=False)
    unknown = ("unexpected_keyword_argument", "extra_forbidden")
    first = next((one for one in errors if one["type"] in unknown), errors[0])
    kind, found, context = first["type"], first["input"], first.get("ctx", {})
    field, known = _field(model, first["loc"])
    at = place(first["loc"])
    if kind == "missing":
        return f"{at}: missing; it is required"
    if kind in unknown:
        hint = f".{nearest(str(first['loc'][-1]), known)}" if known else ""
        return f"{at}: unknown key{hint}"
    if kind == "value_error":  # of a validator of ours: may go on with the place inside the value
        text = str(context["error"])
        return at + text if text[:1] in ("[", ".", ":") and at else f"{at}: {text}".lstrip(": ")
    if kind == "json_invalid":
        deep = "recursion limit" in context["error"]
        return "it is nested too deeply" if deep else f"it is not JSON: {context['error']}"
    expected = field or EXPECTED.get(kind, "").format(**context).replace("a table", table)
    if kind in ("enum", "literal_error"):
        known = re.findall(r"'([^']*)'", context["expected"])
        if known and isinstance(found, str):
            return f"{at}: unknown {at.rpartition('.')[2]} {shown(found)}.{nearest(found, known)}"
        expected = expected or context["expected"]
    if not expected:
        return f"{at}: {first['msg']}, found {shown(found)}"
    hint = f"; write [{shown(found)}]" if expected == "a list" and _is_plain(found) else ""
    return f"{at or 'it'}: expected {expected}, found {shown(found)}{hint}"


def _is_plain(found: object) -> bool:
    return isinstance(found, int | float | str) and not isinstance(found, bool)


def _field(model: Any, steps: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """The description of the field at a place inside a dataclass, and all keys of its table. Both
    are empty if unknown.

    steps  the keys and indices that lead to the place
    """
    description, known, hint = "", list[str](), model
    for step in steps:
        while isinstance(step, str) and hasattr(hint, "__metadata__"):
            hint = get_args(hint)[0]
        if get_origin(hint) is dict:
            hint, description = get_args(hint)[1], ""
            continue
        models = [one for one in _inside(hint) if is_dataclass(one) or is_typeddict(one)]
        if isinstance(step, int) or not models:  # an item of a list has the list's description
            continue
        hints = get_type_hints(models[0], include_extras=True)
        names = [one.name for one in fields(models[0])] if is_dataclass(models[0]) else list(hints)
        named = {_mark(hints[name], "alias") or name: hints[name] for name in names}
        known, hint = list(named), named.get(step)
        description = _mark(hint, "description")
    return description, known


def _mark(hint: Any, name: str) -> str:
    """The attribute `name`, alias or description, of an annotation of this type or of a type nested
    in it; empty if there is none."""
    marks = (mark for one in _inside(hint) for mark in getattr(one, "__metadata__", ()))
    return next((found for mark in marks if (found := getattr(mark, name, None))), "")


def _inside(hint: Any) -> list[Any]:
    return [hint, *(one for part in get_args(hint) for one in _inside(part))]
