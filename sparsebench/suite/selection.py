"""-k: words with and, or, not and brackets, held against a trial's label and names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sparsebench.errors import NothingMatched, SuiteError
from sparsebench.suite.trial import PARTS, Trial

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


def select(trials: Sequence[Trial], expression: str) -> list[Trial]:
    """The trials that `expression` is true of; NothingMatched if there is none.

    A word is true of a trial if it occurs in its label, its id or a component's name, whatever
    the case; a word with `=` must be a whole word of the label.
    """
    tokens = _TOKEN.findall(expression)
    _truth(list(tokens), [], expression)
    kept = [trial for trial in trials if _truth(list(tokens), words_of(trial), expression)]
    if not kept:
        raise NothingMatched(f"-k {expression!r} matches none of {len(trials)} trials")
    return kept


def words_of(trial: Trial) -> list[str]:
    """What -k sees of a trial."""
    names = [name for part in PARTS for name in _names(getattr(trial, part))]
    return [word.lower() for word in (*trial.label().split(), *names, trial.id)]


def _names(value: Any) -> Iterator[str]:
    """The names of a component and of those nested in it."""
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            yield value["name"]
        for item in value.values():
            yield from _names(item)


def _truth(tokens: list[str], words: Iterable[str], expression: str) -> bool:
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
        word = token.lower()
        return any(word == seen if "=" in word else word in seen for seen in words)

    try:
        found = take_or()
    except RecursionError:
        raise SuiteError("-k: the expression is nested too deeply") from None
    if tokens:
        raise SuiteError(f"-k: expected and or or, found {tokens[0]!r}: {expression!r}")
    return found
