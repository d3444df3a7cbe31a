"""Which tone and which shape stand for which name, the same in all panels of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparsebench.report.html.charts.canvas import GREY, LINES, SHAPES, TONES, Key


@dataclass(frozen=True)
class Looks:
    """Names with a tone of their own, and names with a shape and a line style of their own; the
    same names twice where one thing is told by both."""

    toned: list[str]
    shaped: list[str]

    @classmethod
    def of(cls, toned: Sequence[str], shaped: Sequence[str]) -> Looks:
        return cls(list(dict.fromkeys(toned)), list(dict.fromkeys(shaped)))

    def tone(self, name: str) -> str:
        return TONES[self.toned.index(name) % len(TONES)]

    def shape(self, name: str) -> str:
        return SHAPES[self.shaped.index(name) % len(SHAPES)][0]

    def line(self, name: str) -> str:
        return LINES[self.shaped.index(name) % len(LINES)]

    def tags(self, toned: str, shaped: str) -> list[str]:
        """What a renderer of both is hidden by: positions, because names are of strangers."""
        return [f"tone{self.toned.index(toned)}", f"shape{self.shaped.index(shaped)}"]

    def keys(self, *, lines: bool = False) -> list[list[Key]]:
        """A row for the tones and, where more than one is told by it, a row for the shapes."""
        if self.toned == self.shaped:
            return [[self._both(name, lines) for name in self.toned]]
        tones = [Key(n, f"tone{i}", self.tone(n), shape="●") for i, n in enumerate(self.toned)]
        shapes = [
            Key(name, f"shape{i}", GREY, self.line(name) if lines else "", _character(i))
            for i, name in enumerate(self.shaped)
        ]
        return [tones, shapes] if len(shapes) > 1 else [tones]

    def _both(self, name: str, lines: bool) -> Key:
        at = self.toned.index(name)
        line = self.line(name) if lines else ""
        return Key(name, f"tone{at}", self.tone(name), line, "" if lines else _character(at))


def _character(at: int) -> str:
    return SHAPES[at % len(SHAPES)][1]
