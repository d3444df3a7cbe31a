"""The type of the `cli` fixture, and the published schemas of what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

PUBLISHED = Path(__file__).parents[2] / "docs" / "schemas"


@dataclass(frozen=True)
class Done:
    """A command line that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Done]


def validate(verb: str, text: str) -> Any:
    """What a verb printed as data; jsonschema.ValidationError where it is not as published."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    data = json.loads(text, parse_constant=refuse)
    schema = json.loads((PUBLISHED / f"{verb}.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(data)
    return data
