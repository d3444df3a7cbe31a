"""What a trainer must do: who runs the training loop."""

from __future__ import annotations

from typing import Protocol

from sparsebench.core.training.work import Result, Work


class Trainer(Protocol):
    """Beside `run` a trainer may define:

    processes() -> int      of its parameters: how many processes of this program the trial is to
                            have, started together by mpiexec. Each builds its parts, loads its
                            data and calls `run`, with `work.team` set; all but the first return
                            None.
    forks() -> int          likewise, how many processes it starts itself and waits for
    fork(work) -> Work      called when the data is there and nothing has started a thread yet
    warm_up(work)           compiles whatever `run` will need, on throwaway networks
    """

    def run(self, work: Work) -> Result: ...
