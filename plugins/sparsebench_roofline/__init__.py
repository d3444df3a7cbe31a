"""Times operations of a layer and compares them with what the machine allows."""

from __future__ import annotations

from sparsebench.hookspecs import AddSection, Register, hookimpl


@hookimpl
def register_trainers(register: Register) -> None:
    register(
        "kernel",
        "sparsebench_roofline.trainer:Kernel",
        params="sparsebench_roofline.params:KernelParams",
        requires=("numba",),
        summary="times one operation of a layer against what this machine could do",
    )


@hookimpl
def register_report_sections(add: AddSection) -> None:
    add("Kernels", "sparsebench_roofline.report_section:section", place="before")
