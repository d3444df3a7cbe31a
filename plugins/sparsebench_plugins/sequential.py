"""The trainer of one process, one network, one batch after the other. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.core.observer import Observer

if TYPE_CHECKING:
    from sparsebench.core.training.work import Result, Work


@dataclass(frozen=True)
class Sequential:
    """The training loop as it stands."""

    def hidden_from(self, observer: Observer) -> str | None:
        return None

    def warm_up(self, work: Work) -> None:
        from sparsebench.core.training.warmup import warm_up

        warm_up(work, gradients=False)

    def run(self, work: Work) -> Result:
        from sparsebench.core.training.loop import train

        return train(work)
