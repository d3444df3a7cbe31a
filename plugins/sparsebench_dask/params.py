"""Parameters of the executor. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class DaskParams:
    """address  of a scheduler; None starts a cluster on this machine
    slots    of a cluster on this machine, its workers; with an address trials at once at most,
             where 1 means as many as the cluster has threads
    """

    slots: int = 1
    address: str | None = None
