"""Trials on the workers of a Dask cluster."""

from __future__ import annotations

from sparsebench.hookspecs import Register, hookimpl


@hookimpl
def register_executors(register: Register) -> None:
    register(
        "dask",
        "sparsebench_dask.dask_executor:Dask",
        params="sparsebench_dask.params:DaskParams",
        requires=("distributed",),
        summary="the workers of a Dask cluster: --address tcp://..., or processes here",
        get="pip install 'sparsebench[dask]'",
    )
