"""The executor `dask`: runs trials on the workers of a Dask cluster."""

from __future__ import annotations

from dataclasses import dataclass

from sparsebench.hookspecs import Register, hookimpl


@dataclass
class DaskParams:
    """slots    without an address: number of workers of a cluster that is started on this machine;
             with an address: the most trials at the same time, where 1 stands for as many as the
             workers have threads and cores for
    address  address of a Dask scheduler; none: start a cluster on this machine
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
