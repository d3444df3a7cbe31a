"""A backend whose layers fail in worker processes, in the way that is asked for."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from sparsebench_plugins.backends.scipy_csr import ScipyCsrLayer

from sparsebench import hookimpl

TRIAL = os.getpid()
"""The process that imported this: workers are forked from it."""


class Layer(ScipyCsrLayer):
    how = ""
    passes = 0

    def backward(self, X: Any, DZ: Any, DX: Any) -> None:
        self.passes += 1
        if os.getpid() != TRIAL and self.passes > 20:
            if self.how == "raises":
                raise ValueError("the last line")
            if self.how == "greedy":
                raise MemoryError("no more")
            if self.how == "exits":
                os._exit(3)
            if self.how == "hangs":
                time.sleep(60)
        super().backward(X, DZ, DX)


@dataclass(frozen=True)
class Faulty:
    how: str = "raises"

    truly_sparse = True

    def layer(self, W: Any, bias: Any, optimizer: Any) -> Layer:
        layer = Layer(W, bias, optimizer)
        layer.how = self.how
        return layer


@hookimpl
def register_backends(register: Any) -> None:
    register("faulty", Faulty)
