"""-k: words with and, or, not and brackets, held against a trial's values and names."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sparsebench.core.trial import PARTS, Trial
from sparsebench.errors import NothingMatched, SuiteError
from sparsebench.suite.labels import label
from sparsebench.validation import shown

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


def select(trials: Sequence[Trial], expression: str) -> list[Trial]:
    """The trials that `expression` is true of; NothingMatched if there is none.

    A word is true of a trial if it occurs in a value of its label, its id or a component's name,
    whatever the case; a word with `=` must be a whole word of the label.
    """
    tokens = _TOKEN.findall(expression)
    places = [i for i, token in enumerate(tokens) if token not in ("and", "or", "not", "(", ")")]
    words = {f"w{i}": tokens[i].lower() for i in places}
    source = " ".join(f"w{i}" if i in places else token for i, token in enumerate(tokens))
    try:  # of these words, brackets and operators only, the grammar is that of Python
        for left, right in itertools.pairwise(tokens):
            if (right == "(" and left not in ("and", "or", "not", "(")) or left + right == "()":
                raise SyntaxError("a call")
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        problem = "expected words with and, or, not and brackets"
        raise SuiteError(f"-k: {problem}, found {shown(expression)}") from None
    kept = []
    for trial in trials:
        seen = _seen(trial)
        if _holds(tree, {name: seen(word) for name, word in words.items()}):
            kept.append(trial)
    if not kept:
        raise NothingMatched(f"-k {expression!r} matches none of {len(trials)} trials")
    return kept


def _holds(tree: ast.expr, words: Mapping[str, bool]) -> bool:
    """Evaluate an expression of `and`, `or`, `not` and names."""
    match tree:
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_holds(value, words) for value in values)
        case ast.BoolOp(values=values):
            return any(_holds(value, words) for value in values)
        case ast.UnaryOp(operand=operand):
            return not _holds(operand, words)
    assert isinstance(tree, ast.Name)  # words, brackets and operators are all that was parsed
    return words[tree.id]


def _seen(trial: Trial) -> Callable[[str], bool]:
    """Whether a word in lower case is true of the trial."""
    words = [word.strip("(),") for word in label(trial).lower().split()]
    values = [word.partition("=")[2] or word for word in words]
    values += [name.lower() for part in PARTS for name in _names(getattr(trial, part))]
    values.append(trial.id)
    return lambda word: word in words if "=" in word else any(word in value for value in values)


def _names(value: Any) -> Iterator[str]:
    """The names of a component and of those nested in it."""
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            yield value["name"]
        for item in value.values():
            yield from _names(item)
