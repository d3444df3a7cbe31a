"""Backends on other libraries, to compare with: torch, MKL, sparselab, SparseProp, CUDA."""

from __future__ import annotations

from sparsebench.hookspecs import Register, hookimpl

SPARSEPROP = (
    "pip install 'sparsebench[rivals]' && pip install --no-build-isolation sparseprop==0.1.14"
)
"""Its build runs the first pip on PATH, so it cannot be built apart."""


@hookimpl
def register_backends(register: Register) -> None:
    torch, mkl, rivals = (f"pip install 'sparsebench[{e}]'" for e in ("torch", "mkl", "rivals"))
    for name, target, requires, get, summary in (
        ("torch-csr", "torch_csr:TorchCsr", ("torch",), torch,
         "truly sparse, torch's csr products and sampled_addmm"),
        ("torch-dense-mask", "torch_dense_mask:TorchDenseMask", ("torch",), torch,
         "simulated sparsity in torch: dense weights and a 0/1 mask"),
        ("cuda-csr", "torch_csr:CudaCsr", ("torch",), torch,
         "truly sparse, torch's csr products on an NVIDIA GPU"),
        ("mkl-csr", "mkl_csr:MklCsr", ("sparse_dot_mkl", "numba"), mkl,
         "truly sparse, MKL's products and a numba loop for the gradient"),
        ("sparselab", "sparselab_csr:SparseLab", ("sparselab",), rivals,
         "truly sparse, sparselab's kernels; its own SET loses optimizer state: not used"),
        ("sparseprop", "sparseprop_csr:SparseProp", ("sparseprop",), SPARSEPROP,
         "truly sparse, SparseProp's kernels; its own layers cannot grow: not used"),
    ):  # fmt: skip
        register(
            name,
            f"sparsebench_rivals.{target}",
            params="sparsebench_rivals.params:RivalParams",
            requires=requires,
            summary=summary,
            get=get,
        )
