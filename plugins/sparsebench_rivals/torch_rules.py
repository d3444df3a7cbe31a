"""The optimizers' rules as torch operations: on all threads, or where the tensors are.

`sparsebench_plugins.optimizers.rules` is the reference; a test holds these to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from sparsebench_plugins.optimizers.params import OptimizerParams
from sparsebench_plugins.optimizers.rules import SGD, Adam

from sparsebench.core.protocols import Optimizer

Kind = Literal["weight", "bias"]


def update(
    rule: Optimizer,
    w: torch.Tensor,
    g: torch.Tensor,
    state: Sequence[torch.Tensor],
    rate: float,
    t: int,
    kind: Kind,
) -> None:
    """`Optimizer.update` on tensors, in place. A rule not known here does it itself, in numpy."""
    if isinstance(rule, SGD):
        g = _decayed_gradient(rule, w, g, kind)
        _shrink(rule, w, rate, kind)
        _descend(rule, w, g, state, rate)
    elif isinstance(rule, Adam):
        g = _decayed_gradient(rule, w, g, kind)
        _shrink(rule, w, rate, kind)
        _adapt(rule, w, g, state, rate, t)
    else:
        _by_numpy(rule, w, g, state, rate, t, kind)


def _descend(
    rule: SGD, w: torch.Tensor, g: torch.Tensor, state: Sequence[torch.Tensor], rate: float
) -> None:
    """v = momentum v - rate g;  w += v."""
    if not rule.momentum:
        w.add_(g, alpha=-rate)
        return
    (v,) = state
    v.mul_(rule.momentum).add_(g, alpha=-rate)
    if rule.nesterov:
        w.add_(v, alpha=rule.momentum).add_(g, alpha=-rate)
    else:
        w.add_(v)


def _adapt(
    rule: Adam, w: torch.Tensor, g: torch.Tensor, state: Sequence[torch.Tensor], rate: float, t: int
) -> None:
    mean, square = state
    mean.mul_(rule.beta1).add_(g, alpha=1 - rule.beta1)
    square.mul_(rule.beta2).addcmul_(g, g, value=1 - rule.beta2)
    root = (square / (1 - rule.beta2**t)).sqrt_().add_(rule.tiny)
    w.addcdiv_(mean, root, value=-rate / (1 - rule.beta1**t))


def _by_numpy(
    rule: Optimizer,
    w: torch.Tensor,
    g: torch.Tensor,
    state: Sequence[torch.Tensor],
    rate: float,
    t: int,
    kind: Kind,
) -> None:
    """On the host's memory. Tensors of the host share it; others are brought there and back."""
    changed = (w, *state)
    arrays = [tensor.cpu().numpy() for tensor in changed]
    rule.update(arrays[0], g.cpu().numpy(), arrays[1:], rate, t, kind)
    for tensor, array in zip(changed, arrays, strict=True):
        if tensor.device.type != "cpu":
            tensor.copy_(torch.from_numpy(array))


def _decayed_gradient(
    rule: OptimizerParams, w: torch.Tensor, g: torch.Tensor, kind: Kind
) -> torch.Tensor:
    if rule.weight_decay and rule.decay == "coupled" and kind == "weight":
        return torch.add(g, w, alpha=rule.weight_decay)
    return g


def _shrink(rule: OptimizerParams, w: torch.Tensor, rate: float, kind: Kind) -> None:
    if not rule.weight_decay:
        return
    if rule.decay == "decoupled-unscaled":
        w.mul_(1 - rule.weight_decay)
    elif rule.decay == "decoupled" and kind == "weight":
        w.mul_(1 - rate * rule.weight_decay)
