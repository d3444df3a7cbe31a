"""The sections that plugins add to the report, by the hook `register_report_sections`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import Table, code
from sparsebench.discovery import load_plugins
from sparsebench.registry import ReportSection


@dataclass(frozen=True)
class PluginSection:
    """blocks  paragraphs and lists in markdown, and tables, in the order of printing"""

    title: str
    place: Literal["before", "after"]
    blocks: list[str]

    def markdown(self) -> list[str]:
        return [f"## {self.title}", *self.blocks]

    def tables(self) -> list[Table]:
        return [block for block in self.blocks if isinstance(block, Table)]


def plugin_sections(
    found: Evidence, declared: Sequence[ReportSection] | None = None
) -> list[PluginSection]:
    """Those that have something to show for these trials.

    A section that raises is replaced by a line that says so: the rest of the report is printed.
    declared  by default what the installed plugins register
    """
    made = []
    for section in load_plugins().report_sections if declared is None else declared:
        try:
            blocks = [block for block in section.load()(found) if block]
        except Exception as error:
            reason = code(f"{type(error).__name__}: {error}")
            blocks = [f"This section of plugin {code(section.owner)} failed: {reason}"]
        if blocks:
            place: Literal["before", "after"] = "before" if section.place == "before" else "after"
            made.append(PluginSection(section.title, place, blocks))
    return made
