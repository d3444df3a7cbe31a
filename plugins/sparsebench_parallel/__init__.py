"""Training by several processes (WASSP, WASAP, Hogwild), and a model of how that scales."""

from __future__ import annotations

from sparsebench.hookspecs import AddCommand, AddMetric, AddSection, Register, hookimpl


@hookimpl
def register_trainers(register: Register) -> None:
    register(
        "hogwild",
        "sparsebench_parallel.hogwild:Hogwild",
        params="sparsebench_parallel.params:HogwildParams",
        summary="processes of one machine that share values without locks (Niu et al. 2011)",
    )
    for name, cls, summary in (
        ("wassp", "Wassp", "synchronous parallel training over MPI (Curci et al. 2021)"),
        ("wasap", "Wasap", "asynchronous parameter server over MPI (Curci et al. 2021)"),
    ):
        register(
            name,
            f"sparsebench_parallel.mpi.trainer:{cls}",
            params=f"sparsebench_parallel.params:{cls}Params",
            requires=("mpi4py",),
            summary=summary,
            get='pip install "sparsebench[mpi]"',
        )


@hookimpl
def register_metrics(add: AddMetric) -> None:
    from sparsebench_parallel.metrics import PARALLEL

    for metric in PARALLEL:
        add(metric)


@hookimpl
def register_report_sections(add: AddSection) -> None:
    add("Training by several processes", "sparsebench_parallel.report_section:section")


@hookimpl
def register_commands(add: AddCommand) -> None:
    add("scaling", "sparsebench_parallel.scaling.command:command")
