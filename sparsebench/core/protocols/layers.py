"""Layers, and the backends that make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from sparsebench.core.arrays import Array, Matrix, Vector
    from sparsebench.core.protocols.training import Optimizer
    from sparsebench.core.sparse.csr import Change, CsrMatrix


Shape = tuple[int, int]
"""(K, D) of a layer."""


class Layer(Protocol):
    """Z = W X + b with the optimizer state of W and b. Made by a backend."""

    @property
    def shape(self) -> Shape: ...

    @property
    def nnz(self) -> int: ...

    def forward(self, X: Matrix, Z: Matrix) -> None:
        """Z = W X + b.  X (D, N), Z (K, N) overwritten."""

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        """Compute and keep DW = DZ X^T at the connections, and Db, the sums of DZ over the batch.
        DX = W^T DZ is overwritten unless it is None.  X, DX (D, N), DZ (K, N)."""

    def gradients(self) -> tuple[Vector, Vector]:
        """DW (nnz,) in csr order and Db (K,) of the last `backward`."""

    def step(self, rate: float, t: int) -> None:
        """Update W and b with the gradients of the last `backward`, at the learning rate `rate`. t
        counts steps from 1."""

    def step_by(self, DW: Vector, Db: Vector, rate: float, t: int) -> None:
        """As `step`, with the given gradients: DW (nnz,) in csr order and Db (K,)."""

    def assign(self, data: Vector, bias: Vector) -> None:
        """Copy these values into W, (nnz,) in csr order, and into b, (K,).

        The optimizer's state does not change.
        """

    def backward_and_step(
        self, X: Matrix, DZ: Matrix, DX: Matrix | None, rate: float, t: int
    ) -> None:
        """`backward` then `step`, in one pass if the backend can. DX is computed from W as it was
        before the step."""

    def weights(self) -> CsrMatrix:
        """The weights, canonical. May share memory with the layer: read only."""

    def bias(self) -> Vector: ...

    def state(self) -> dict[str, Vector]:
        """The optimizer's state of the weights by slot name: arrays (nnz,) in csr order."""

    def apply_change(self, change: Change) -> None:
        """Apply a change of topology. The optimizer's state moves with its connections, and is 0
        for grown ones."""

    def stored_bytes(self) -> dict[str, int]:
        """Bytes of all arrays that are kept between steps, by purpose."""

    def saved(self) -> Iterator[tuple[str, Array]]:
        """Yield the arrays that the next step depends on, apart from weights and bias.

        Each is O(nnz) and may share memory with the layer. To restore a layer, the backend makes a
        new one from the saved weights and bias, and then calls its `restore` with these arrays.
        Names of arrays over connections, in csr order, begin with `state.`, those over output
        neurons with `bias_state.`; arrays of other names are over neither.
        """

    def restore(self, saved: Mapping[str, Array]) -> None:
        """Restore the state, so that this layer continues bit for bit like the layer whose `saved`
        returned these arrays."""


class ThroughLayer(Layer, Protocol):
    """A layer that applies its backend's activation units while it writes its output. Backends need
    not make such layers.

    below  the unit that made X; None in the first layer, whose X is plain float32
    unit   the unit that follows this layer; None after the last layer, whose A is plain float32

    Between two layers, the backend chooses the array's type and layout.
    """

    def forward_through(self, X: Matrix, below: Any, A: Matrix, unit: Any, t: int | None) -> None:
        """A = unit(W X + b).  t is the training step, None in evaluation."""

    def backward_through(
        self, X: Matrix, below: Any, DZ: Matrix, unit: Any, DX: Matrix | None,
        rate: float | None, t: int,
    ) -> None:  # fmt: skip
        """`backward`, followed by `step` unless `rate` is None. DX is overwritten with DZ of the
        layer below: it includes the derivative of `below`."""


@runtime_checkable
class TakesCsr(Protocol):
    """A layer whose passes also accept a `CsrBatch` as X; DX is then None.

    If `takes_csr` is True, the first layer of a network gets csr inputs unchanged. If it is False
    or missing, the network makes each batch dense.
    """

    @property
    def takes_csr(self) -> bool: ...


@runtime_checkable
class ScalesState(Protocol):
    """A layer whose optimizer state a topology method can change. With other layers, a trial whose
    method does this is unsupported."""

    def scale_state(self, factor: float) -> None:
        """Multiply all state arrays of the weights by the factor. Those of the bias do not
        change."""


class Backend(Protocol):
    """Makes layers. `truly_sparse` says that memory and work are O(nnz) in every step.

    A backend may also define:
    unit(negative_slope, dropout) -> Unit  its own unit for piecewise linear activations; by default
                                           the numpy unit is used
    activation_dtype                       type of the arrays between two `ThroughLayer`s; by
                                           default float32
    """

    @property
    def truly_sparse(self) -> bool: ...

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> Layer: ...
