"""Reads the small text files of /proc and /sys; one that is missing or refused counts as empty."""

from __future__ import annotations

from pathlib import Path


def lines_of(file: str | Path) -> list[str]:
    """The lines of a file."""
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []


def first_line(file: str | Path) -> str:
    """The first line of a file, without surrounding spaces."""
    lines = lines_of(file)
    return lines[0].strip() if lines else ""
