"""Errors of pydantic as one line: the key, what was expected, what was found, what is known."""

from __future__ import annotations

import codecs
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from sparsebench.errors import SparsebenchError, nearest

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


LARGEST_TOML = 4 * 2**20
"""Bytes of a TOML file that is read at all."""

_KEY = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_KEY}(?:[ \t]*+\.[ \t]*+{_KEY}){{100}}")
"""tomllib needs a time that grows with the square of the parts of a key."""


def complaint(error: ValidationError, model: Any = None, table: str = "a table") -> str:
    """The first error in a line. A field's description says what was expected there.

    model  the dataclass that was validated; with it, an unknown key has its nearest match
    table  what the format calls a table
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
    """The description of the field at a place inside a dataclass, and the keys beside it."""
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
    """The alias or the description of an annotated type, from wherever it is inside."""
    marks = (mark for one in _inside(hint) for mark in getattr(one, "__metadata__", ()))
    return next((found for mark in marks if (found := getattr(mark, name, None))), "")


def _inside(hint: Any) -> list[Any]:
    return [hint, *(one for part in get_args(hint) for one in _inside(part))]


def read_toml(file: Path, error: type[SparsebenchError], name: str = "") -> tuple[Any, str]:
    """The tables of a TOML file, and its text; `error`, in one line, for anything else.

    Line ends and a byte order mark may be those of any editor.
    """
    name = name or str(file)
    try:
        mode = file.stat()
        if not stat.S_ISREG(mode.st_mode):
            raise error(f"{name}: cannot be read: it is not a regular file")
        if mode.st_size > LARGEST_TOML:
            raise error(f"{name}: is larger than {LARGEST_TOML >> 20} MiB")
        content = file.read_bytes()
        if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and len(content) % 2 == 0:
            raise error(f"{name}: is text in UTF-16; save it as UTF-8")
        text = content.decode("utf-8-sig")
        return parse_toml(text.replace("\r\n", "\n").replace("\r", "\n")), text
    except OSError as caught:
        raise error(f"{name}: cannot be read: {caught.strerror or caught}") from None
    except RecursionError:
        raise error(f"{name}: nested too deeply") from None
    except ValueError as caught:
        raise error(f"{name}: is not TOML in UTF-8: {' '.join(str(caught).split())}") from None


def parse_toml(text: str) -> Any:
    """ValueError for what is not TOML; RecursionError for deep nesting, before it gets slow."""
    if _LONG_KEY.search(text):
        raise RecursionError
    return tomllib.loads(text)
