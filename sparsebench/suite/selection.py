"""-k: words with and, or, not and brackets, held against a trial's values and names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.core.trial import PARTS, Trial
from sparsebench.errors import NothingMatched, SuiteError
from sparsebench.suite.labels import label

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


def select(trials: Sequence[Trial], expression: str) -> list[Trial]:
    """The trials that `expression` is true of; NothingMatched if there is none.

    A word is true of a trial if it occurs in a value of its label, its id or a component's name,
    whatever the case; a word with `=` must be a whole word of the label.
    """
    tokens = _TOKEN.findall(expression)
    _truth(list(tokens), _Seen(), expression)
    kept = [trial for trial in trials if _truth(list(tokens), _seen(trial), expression)]
    if not kept:
        raise NothingMatched(f"-k {expression!r} matches none of {len(trials)} trials")
    return kept


@dataclass(frozen=True)
class _Seen:
    """What -k sees of a trial, in lower case.

    words  of the label: `dataset=wine`, `zeta=0.3`
    values  what stands behind their `=`, names of components, and the id
    """

    words: Sequence[str] = ()
    values: Sequence[str] = ()

    def has(self, word: str) -> bool:
        return word in self.words if "=" in word else any(word in value for value in self.values)


def _seen(trial: Trial) -> _Seen:
    words = [word.strip("(),") for word in label(trial).lower().split()]
    values = [word.partition("=")[2] or word for word in words]
    names = [name.lower() for part in PARTS for name in _names(getattr(trial, part))]
    return _Seen(words, [*values, *names, trial.id])


def _names(value: Any) -> Iterator[str]:
    """The names of a component and of those nested in it."""
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            yield value["name"]
        for item in value.values():
            yield from _names(item)


def _truth(tokens: list[str], seen: _Seen, expression: str) -> bool:
    """Recursive descent over `tokens`, which are used up: or < and < not < word."""

    def take_or() -> bool:
        found = take_and()
        while tokens and tokens[0] == "or":
            tokens.pop(0)
            found |= take_and()
        return found

    def take_and() -> bool:
        found = take_not()
        while tokens and tokens[0] == "and":
            tokens.pop(0)
            found &= take_not()
        return found

    def take_not() -> bool:
        token = tokens.pop(0) if tokens else ""
        if token == "not":
            return not take_not()
        if token == "(":
            found = take_or()
            if not tokens or tokens.pop(0) != ")":
                raise SuiteError(f"-k: a bracket is not closed in {expression!r}")
            return found
        if token in ("", ")", "and", "or"):
            raise SuiteError(f"-k: expected a word, found {token or 'the end'!r}: {expression!r}")
        return seen.has(token.lower())

    try:
        found = take_or()
    except RecursionError:
        raise SuiteError("-k: the expression is nested too deeply") from None
    if tokens:
        raise SuiteError(f"-k: expected and or or, found {tokens[0]!r}: {expression!r}")
    return found
