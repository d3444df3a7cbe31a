"""Trials on the workers of a Dask cluster."""

from __future__ import annotations

from dataclasses import dataclass

from sparsebench.hookspecs import Register, hookimpl


@dataclass
class DaskParams:
    """address  of a scheduler; None starts a cluster on this machine
    slots    of a cluster on this machine, its workers; with an address trials at once at most,
             where 1 means as many as the cluster has threads
    """

    slots: int = 1
    address: str | None = None


@hookimpl
def register_executors(register: Register) -> None:
    register(
        "dask",
        "sparsebench_dask.executor:Dask",
        params="sparsebench_dask:DaskParams",
        requires=("distributed",),
        summary="the workers of a Dask cluster: --address tcp://..., or processes here",
        get="pip install 'sparsebench[dask]'",
    )
