"""Other libraries for comparison: backends on torch, MKL, sparselab, SparseProp and CUDA, and
networks that select features."""

from __future__ import annotations

from sparsebench.hookspecs import Register, hookimpl

SPARSEPROP = (
    "pip install 'sparsebench[rivals]' && pip install --no-build-isolation sparseprop==0.1.14"
)
"""How to install SparseProp. Its build runs the first pip on PATH, so it cannot be built in
isolation."""


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


@hookimpl
def register_trainers(register: Register) -> None:
    for name, target, summary in (
        ("lassonet", "LassoNet", "selects features by LassoNet's path (Lemhadri et al. 2021)"),
        ("stg", "StochasticGates", "selects features by stochastic gates (Yamada et al. 2020)"),
    ):
        register(
            name,
            f"sparsebench_rivals.feature_selectors:{target}",
            requires=(name, "torch"),
            summary=summary,
            get="pip install 'sparsebench[selectors]'",
        )
