"""Finds the dialect of a text table: its encoding, separator, decimal point, header and first
row."""

from __future__ import annotations

import csv
import gzip
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.errors import DataError
from sparsebench.machine import available_memory

MOST_COLUMNS = 1_000_000
LONGEST_HEADER = 64 * 2**20
"""The most bytes of a file's first line, and the most characters of a record."""
BYTES_PER_CHARACTER = 4
"""Memory per character of text, since a number takes at least two characters and becomes 8
bytes."""
SAMPLE = 200
SAMPLE_LETTERS = 2**24
WHITESPACE = r"\s+"
MISSING = (
    "", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NAN", "null", "NULL", "None", "?",
)  # fmt: skip
"""Texts that mean a missing value of a feature. In the target, all but the empty text are
labels."""
DECIMAL_COMMA = re.compile(r"(?<![\d.,])[+-]?\d+,\d+(?![\d.,])")
DECIMAL_POINT = re.compile(r"\d\.\d")


@dataclass(frozen=True)
class Layout:
    """The dialect of a text table.

    encoding, separator, decimal  as pandas takes them
    names   names of the columns; None: the file has none
    skip    number of lines before the first row of data
    lines   line number of each row of data, from 1
    sample  the cells of the first rows of data
    notes   remarks for the user on what was inferred
    """

    encoding: str
    separator: str
    decimal: str
    names: tuple[str, ...] | None
    columns: int
    skip: int
    lines: Array
    sample: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def check_size(path: Path) -> None:
    """Raise DataError if the header is too long, or if the numbers would not fit into memory.

    To find its size, a compressed file is unpacked piece by piece, but only as far as it would fit.
    """
    room = available_memory() // BYTES_PER_CHARACTER
    packed = is_packed(path)
    with gzip.open(path) if packed else path.open("rb") as stream:
        header = stream.readline(LONGEST_HEADER + 1)
        columns = max(header.count(one) for one in (b",", b";", b"\t")) + 1
        if len(header) > LONGEST_HEADER or columns > MOST_COLUMNS:
            many = f"{columns:,}" if len(header) <= LONGEST_HEADER else f"over {columns:,}"
            raise DataError(
                f"{path}: its header row has {many} columns, {len(header):,} bytes; expected at "
                f"most {MOST_COLUMNS:,}: for wider data use npz"
            )
        size = len(header) if packed else path.stat().st_size
        while packed and size <= room and (piece := stream.read(2**20)):
            size += len(piece)
    if size > room:
        raise DataError(
            f"{path} has {'more than ' if packed else ''}{size / 2**30:.1f} GiB of text, which as "
            "numbers does not fit into the free memory; expected a set that fits, such as an npz"
        )


def is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def open_text(path: Path, encoding: str) -> IO[str]:
    if is_packed(path):
        return gzip.open(path, "rt", encoding=encoding)
    return path.open(encoding=encoding)


def layout_of(
    path: Path, separator: str | None, decimal: str | None, header: bool | None
) -> Layout:
    """The dialect of the file. Arguments that are None are inferred from its first rows. Raises
    DataError if the file is not text, is empty, or has rows of different lengths."""
    with gzip.open(path) if is_packed(path) else path.open("rb") as stream:
        start = stream.read(2**12)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _layout(path, "utf-16", separator, decimal, header)
    if b"\0" in start:
        raise DataError(f"{path} is not text, whatever its ending says; expected a table of text")
    try:
        return _layout(path, "utf-8-sig", separator, decimal, header)
    except UnicodeDecodeError:
        try:
            return _layout(path, "cp1252", separator, decimal, header)
        except UnicodeDecodeError:
            raise DataError(f"{path} is text in an unknown encoding; save it as UTF-8") from None


def records(stream: IO[str]) -> Iterator[tuple[int, str]]:
    """Yield the records of the file: line number (from 1) and text. A record may span several
    lines, because quoted cells may contain line ends."""
    kept, start = "", 0
    for number in itertools.count(1):
        line = stream.readline(LONGEST_HEADER + 1)
        if not line:
            break
        if len(kept) + len(line) > LONGEST_HEADER:
            raise DataError(f"line {number} has more than {LONGEST_HEADER:,} letters")
        start = start or number
        kept += line
        if kept.count('"') % 2 == 0:
            yield start, kept.rstrip("\r\n")
            kept, start = "", 0
    if kept:
        yield start, kept.rstrip("\r\n")


def cells(record: str, separator: str) -> list[str]:
    if separator == WHITESPACE:
        return [cell.strip('"') for cell in record.split()]
    if '"' not in record:
        return [cell.strip() for cell in record.split(separator)]
    read = csv.reader([record], delimiter=separator, skipinitialspace=True)
    return [cell.strip() for cell in next(read, [])]


def is_number(text: str, decimal: str = ".") -> bool:
    try:
        float(text.replace(decimal, "."))
    except ValueError:
        return False
    return "_" not in text and text not in MISSING


def _width(record: str, separator: str) -> int:
    if separator == WHITESPACE or '"' in record:
        return len(cells(record, separator))
    return record.count(separator) + 1


def _layout(
    path: Path, encoding: str, separator: str | None, decimal: str | None, header: bool | None
) -> Layout:
    notes: list[str] = []
    with open_text(path, encoding) as stream:
        every = ((n, text) for n, text in records(stream) if text.strip(" ") != "")
        first: list[tuple[int, str]] = []
        letters = 0
        for number, text in every:
            first.append((number, text))
            letters += len(text)
            if len(first) > SAMPLE or (letters > SAMPLE_LETTERS and len(first) > 2):
                break
        if not first:
            raise DataError(f"{path} is not a csv table: it is empty")
        separator = separator or _separator([text for _, text in first if text[0] != "#"])
        while len(first) > 1 and _is_comment(first[0][1], first[1][1], separator):
            first.pop(0)
        sample = [cells(text, separator) for _, text in first]
        if decimal is None:
            decimal = "," if _has_decimal_comma([t for _, t in first], separator) else "."
        if header is None:
            header = _has_header(sample, decimal)
            if not header:
                notes.append(
                    "no header: the first row is a sample, and the columns are called "
                    "column 0, 1, ... (header = true takes it as the names)"
                )
        names = sample.pop(0) if header else None
        (head_line, _), rest = (first[0], first[1:]) if header else ((0, ""), first)
        if not rest:
            raise DataError(f"{path} has no rows below its header; expected a sample in each")
        columns = max(map(len, sample))
        lines = []
        for number, text in itertools.chain(rest, every):
            lines.append(number)
            if (found := _width(text, separator)) != columns:
                raise DataError(
                    f"{path} is not a csv table: line {number} has {found} cells where the first "
                    f"rows have {columns}: {text[:60]!r}"
                )
    if names is not None:
        names[0] = names[0].removeprefix("#").strip()
        if len(names) == columns - 1:
            trailing = all(not row[-1] for row in sample)
            names = [*names, ""] if trailing else ["", *names]
        if len(names) != columns:
            raise DataError(
                f"{path} is not a csv table: line {head_line} names {len(names)} columns, and the "
                f"rows below have {columns}"
            )
    return Layout(
        encoding, separator, decimal, None if names is None else tuple(names), columns,
        rest[0][0] - 1, np.array(lines, dtype=np.int64), tuple(map(tuple, sample)), tuple(notes),
    )  # fmt: skip


def _is_comment(text: str, following: str, separator: str) -> bool:
    return text.startswith("#") and _width(text, separator) < _width(following, separator) - 1


def _separator(rows: Sequence[str]) -> str:
    """The first of tab, ";", "|" and "," that divides all rows but the first into the same number
    of columns, at least two. If there is none, the one that occurs most often. If none occurs,
    WHITESPACE if a row has several words; else ",", which leaves a single column."""
    body = rows[1:] or rows
    best, most = "", 0
    for one in ("\t", ";", "|", ","):
        widths = {_width(row, one) for row in body}
        least = min(widths, default=1)
        if least > 1 and len(widths) == 1:
            return one
        total = sum(_width(row, one) - 1 for row in rows)
        if total > most:
            best, most = one, total
    return best or (WHITESPACE if any(len(row.split()) > 1 for row in body) else ",")


def _has_decimal_comma(rows: Sequence[str], separator: str) -> bool:
    if separator == ",":
        return False
    comma = any(DECIMAL_COMMA.search(row) for row in rows)
    return comma and not any(DECIMAL_POINT.search(row) for row in rows[1:])


def _has_header(sample: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether the first row has the names of the columns, judged by how it differs from the
    others."""
    first, rest = sample[0], sample[1:]
    numbers = [cell for cell in first if is_number(cell, decimal)]
    if not numbers or not rest:
        return not (numbers and len(numbers) == len(first))
    if all(cell.isdigit() for cell in numbers):
        values = [int(cell) for cell in numbers]
        if len(values) > 1 and values in (
            list(range(len(values))), list(range(1, len(values) + 1))
        ):  # fmt: skip
            return True
    if len(first) != len(rest[0]):
        return True
    words = [(i, cell) for i, cell in enumerate(first) if cell and not is_number(cell, decimal)]
    for i, cell in words:
        if cell in MISSING:
            continue
        below = {row[i] for row in rest if i < len(row)}
        if cell not in below and (
            i == len(first) - 1 or any(is_number(one, decimal) for one in below)
        ):
            return True
    return False
