"""Training by several processes (WASSP, WASAP, Hogwild), and a model of how that scales."""

from __future__ import annotations

from sparsebench.core.metric import Metric
from sparsebench.hookspecs import AddCommand, AddMetric, AddSection, Register, hookimpl


@hookimpl
def register_trainers(register: Register) -> None:
    register(
        "hogwild",
        "sparsebench_parallel.hogwild.trainer:Hogwild",
        params="sparsebench_parallel.params:HogwildParams",
        summary="processes of one machine that share values without locks (Niu et al. 2011)",
    )
    for name, summary in (
        ("wassp", "synchronous parallel training over MPI (Curci et al. 2021)"),
        ("wasap", "asynchronous parameter server over MPI (Curci et al. 2021)"),
    ):
        register(
            name,
            f"sparsebench_parallel.mpi.trainer:{name.title()}",
            params=f"sparsebench_parallel.params:{name.title()}Params",
            requires=("mpi4py",),
            summary=summary,
            get='pip install "sparsebench[mpi]"',
        )


@hookimpl
def register_metrics(add: AddMetric) -> None:
    add(Metric("topology_bytes_sent", "bytes", "exact", -1))
    add(Metric("retained_share", "fraction", "ratio", +1))
    add(Metric("master_busy_share", "fraction", "ratio", timed=True))
    add(Metric("worker_wait_share", "fraction", "ratio", -1, timed=True))
    add(Metric("link_latency_seconds", "seconds", "ratio", -1))
    add(Metric("link_bytes_per_second", "per second", "ratio", +1))
    add(Metric("union_connections", "count", "exact"))
    add(Metric("workers_net_peak_bytes", "bytes", "ratio", -1))
    add(Metric("shared_bytes", "bytes", "exact", -1))


@hookimpl
def register_report_sections(add: AddSection) -> None:
    add(
        "Training by several processes",
        "sparsebench_parallel.report_section:section",
        place="before",
    )


@hookimpl
def register_commands(add: AddCommand) -> None:
    add("scaling", "sparsebench_parallel.scaling.command:command")
