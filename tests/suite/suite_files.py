"""What the tests of suites and of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparsebench.core.trial import Trial
from sparsebench.suite.suite import Suite

TOYS = Path(__file__).with_name("toy_components.py")

HEAD = """
schema = 1
name = "small"
trial.dataset = "toy"
trial.model = { hidden = [10] }
trial.epochs = 2
"""

Write = Callable[[str], Suite]
Expand = Callable[..., list[Trial]]
