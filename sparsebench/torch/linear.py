"""A truly sparse `torch.nn.Linear`: a linear layer that stores only its connections."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sparsebench.core.protocols import LayerSignals
from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix, CsrPattern, index_dtype
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.seeds import generator
from sparsebench.torch.products import Compiled, Products, Reference, backend_of, component

DTYPES = (torch.float32, torch.float64)


class SparseLinear(nn.Module):
    """y = x W^T + b, where W (out_features, in_features) has only `connections` values.

    Takes x of shape (..., in_features) and returns (..., out_features), float32 on the CPU. In
    float64, a plain reference replaces the kernels, for `torch.autograd.gradcheck`. Gradients are
    computed only for connections; no array of the size of a dense W is ever allocated. Results are
    the same bit for bit for any number of threads.

    weight   (connections,) parameter, in csr order
    indptr   (out_features + 1,), indices (connections,)  buffers with the positions of connections,
             so that `state_dict` has the topology

    density, connections  give one of them; every set of positions is equally likely
    init     initializer of the weights, by name or as a table; the bias starts at 0
    backend  the backend whose kernels are used: "numba-csr" or "scipy-csr"
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    indptr: Tensor
    indices: Tensor
    _pattern: CsrPattern | None
    _products: Products | None
    _dtype: torch.dtype | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        density: float | None = None,
        connections: int | None = None,
        bias: bool = True,
        init: Any = "he-uniform",
        backend: Any = "numba-csr",
        seed: int = 0,
    ) -> None:
        """Raises ValueError unless the number of connections is from 1 to all."""
        super().__init__()
        if (density is None) == (connections is None):
            raise ValueError("SparseLinear: give density or connections, one of them")
        size = in_features * out_features
        nnz = connections if density is None else max(1, round(density * size))
        if nnz is None or not 1 <= nnz <= size:
            raise ValueError(
                f"SparseLinear: {nnz} connections in {out_features} x {in_features}; "
                f"from 1 to {size} are possible"
            )
        pattern = random_pattern((out_features, in_features), nnz, generator(seed, "topology"))
        self.init = component("initializer", init)
        self.backend = backend_of(backend)
        values = self.init.draw(pattern, nnz, generator(seed, "init"))
        self.weight = nn.Parameter(torch.from_numpy(values))
        self.register_parameter("bias", nn.Parameter(torch.zeros(out_features)) if bias else None)
        self.register_buffer("indptr", torch.from_numpy(pattern.indptr))
        self.register_buffer("indices", torch.from_numpy(pattern.indices))
        self.in_features, self.out_features = in_features, out_features
        self.watched = False
        self.signals: LayerSignals | None = None
        self._forget()

    # --- the connections --------------------------------------------------------------

    @property
    def pattern(self) -> CsrPattern:
        """The pattern of the connections; shares memory with the buffers."""
        if self._pattern is None:
            shape = (self.out_features, self.in_features)
            self._pattern = CsrPattern(shape, self.indptr.numpy(), self.indices.numpy())
        return self._pattern

    @property
    def density(self) -> float:
        return self.pattern.density

    def matrix(self) -> CsrMatrix:
        """The weights as a matrix; shares memory with the parameter. Read only."""
        return CsrMatrix(self.pattern, self.weight.detach().numpy())

    def to_sparse(self) -> Tensor:
        """The weights as torch's csr tensor."""
        shape = (self.out_features, self.in_features)
        indptr, indices = (t.to(torch.int64) for t in (self.indptr, self.indices))
        values = self.weight.detach()
        return torch.sparse_csr_tensor(indptr, indices, values, shape, check_invariants=True)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"connections={self.weight.numel()}, density={self.density:.3g}, "
            f"bias={self.bias is not None}"
        )

    # --- the passes -------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or self.weight.device.type != "cpu":
            raise ValueError(
                "SparseLinear runs on the CPU only; move the module and its input there"
            )
        if x.dtype not in DTYPES or x.dtype != self.weight.dtype:
            raise TypeError(
                f"SparseLinear takes float32, or float64 as a reference, the same for weights and "
                f"inputs; got weights of {self.weight.dtype} and inputs of {x.dtype}"
            )
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"SparseLinear expects (..., {self.in_features}), got {tuple(x.shape)}"
            )
        flat = x.reshape(-1, self.in_features)
        y: Tensor = _Product.apply(flat, self.weight, self.bias, self)
        return y.reshape(*x.shape[:-1], self.out_features)

    def products(self) -> Products:
        """The kernels of this layer, with the present weights and bias. They are copied at each
        call, because changes through `weight.data` cannot be detected."""
        if self._products is None or self._dtype != self.weight.dtype:
            float64 = self.weight.dtype == torch.float64
            self._dtype = self.weight.dtype
            self._products = (
                Reference(self.pattern) if float64 else Compiled(self.pattern, self.backend)
            )
        values = self.weight.detach().numpy()
        zeros = np.zeros(self.out_features, dtype=values.dtype)
        self._products.assign(values, zeros if self.bias is None else self.bias.detach().numpy())
        return self._products

    # --- changes ----------------------------------------------------------------------

    def apply_change(self, change: Change, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Drop and grow connections. The state of `optimizer`, if it is given, moves with its
        connections and is 0 for grown ones. If the number of connections changes, `weight` is
        replaced by a new parameter, also in the optimizer, because autograd does not allow another
        shape while a graph holds it."""
        applied = AppliedChange(self.pattern, change)
        old = self.weight
        values = torch.from_numpy(applied.carry(old.detach().numpy(), change.values))
        self._hold(applied.pattern, values)
        if optimizer is None:
            return
        state = optimizer.state.pop(old, {})
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == (change.keep.size,):
                state[name] = torch.from_numpy(applied.carry(value.numpy()))
        if state:
            optimizer.state[self.weight] = state
        for group in optimizer.param_groups:
            group["params"] = [self.weight if p is old else p for p in group["params"]]

    def _hold(self, pattern: CsrPattern, values: Tensor) -> None:
        if values.numel() == self.weight.numel():
            self.weight.grad = None
            with torch.no_grad():
                self.weight.copy_(values)
        else:
            self.weight = nn.Parameter(values, self.weight.requires_grad)
        self.indptr = torch.from_numpy(pattern.indptr)
        self.indices = torch.from_numpy(pattern.indices)
        self._forget()

    def _forget(self) -> None:
        self._pattern = self._products = self._dtype = None

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        applied = super()._apply(fn, recurse)
        self._forget()
        return applied

    def __getstate__(self) -> dict[str, Any]:
        """The state for copying and pickling, without kernels; these are made again when needed."""
        made = {"_pattern": None, "_products": None, "signals": None}
        return {**self.__dict__, **made}

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        """Load the state. It may have another number of connections, because the topology is part
        of it."""
        loaded = {name: state.get(prefix + name) for name in ("indptr", "indices", "weight")}
        if all(isinstance(tensor, Tensor) for tensor in loaded.values()):
            indptr, indices, weight = loaded.values()
            pattern = CsrPattern(
                (self.out_features, self.in_features),
                *(t.numpy().astype(index_dtype(indices.numel())) for t in (indptr, indices)),
            )
            CsrMatrix(pattern, weight.numpy()).validate()
            self._hold(pattern, weight.detach().clone().to(self.weight.dtype))
        super()._load_from_state_dict(state, prefix, *rest)
        self._forget()


class _Product(torch.autograd.Function):
    """The autograd function from x (N, D), weight (nnz,) and bias (K,) or None to y (N, K)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: Any) -> Tensor:
        X = x.detach().t().contiguous()
        y = torch.from_numpy(layer.products().forward(X.numpy())).t()
        ctx.save_for_backward(
            X, weight, bias
        )  # torch then refuses changes before the backward pass
        ctx.layer, ctx.pattern = layer, layer.pattern
        ctx.outputs = y if layer.watched else None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        X, _, bias = ctx.saved_tensors
        layer = ctx.layer
        if layer.pattern is not ctx.pattern:
            raise RuntimeError(
                "the topology changed between forward and backward; call the scheduler's step "
                "after the optimizer's"
            )
        DZ = dy.t().contiguous().numpy()
        DX, DW, Db = layer.products().backward(X.numpy(), DZ, ctx.needs_input_grad[0])
        if layer.watched:
            A = ctx.outputs.t().numpy()
            layer.signals = LayerSignals(X.numpy(), DZ, A)
        dx = None if DX is None else torch.from_numpy(DX).t()
        return dx, torch.from_numpy(DW), None if bias is None else torch.from_numpy(Db), None


def sparsify(
    module: nn.Module, topology: Any = "set", *, init: Any = "he-uniform",
    backend: Any = "numba-csr", seed: int = 0,
) -> nn.Module:  # fmt: skip
    """Replace every `nn.Linear` of a module by a `SparseLinear`, in place.

    topology  a topology method, which decides how many connections each layer gets: its name, its
              table as in a suite (`{"name": "set", "epsilon": 20}`), or the object

    The old weights and biases are not kept: weights are drawn, and biases start at 0. Returns the
    module. Raises ValueError if there is no `nn.Linear` in it.
    """
    found = [
        (parent, name, child)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
    if not found:
        raise ValueError("sparsify: the module has no nn.Linear")
    shapes = [(child.out_features, child.in_features) for _, _, child in found]
    counts = component("topology", topology).connections(shapes)
    for number, ((parent, name, child), nnz) in enumerate(zip(found, counts, strict=True)):
        sparse = SparseLinear(
            child.in_features, child.out_features, connections=nnz, init=init, backend=backend,
            bias=child.bias is not None, seed=seed * 1000 + number,
        )  # fmt: skip
        setattr(parent, name, sparse)
    return module
