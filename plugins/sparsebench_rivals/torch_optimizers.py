"""The optimizers' update rules as torch operations, on all threads or on the tensors' device.

`sparsebench_plugins.optimizers` is the reference, with which a test compares these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from sparsebench_plugins.optimizers import SGD, Adam

from sparsebench.core.protocols import Optimizer


def update(
    rule: Optimizer,
    w: torch.Tensor,
    g: torch.Tensor,
    state: Sequence[torch.Tensor],
    rate: float,
    t: int,
    kind: Literal["weight", "bias"],
) -> None:
    """`Optimizer.update` on tensors, in place. Rules other than SGD and Adam are applied by numpy:
    tensors of the host share numpy's memory, others are copied to the host and back."""
    if not isinstance(rule, SGD | Adam):
        changed = (w, *state)
        arrays = [tensor.cpu().numpy() for tensor in changed]
        rule.update(arrays[0], g.cpu().numpy(), arrays[1:], rate, t, kind)
        for tensor, array in zip(changed, arrays, strict=True):
            if tensor.device.type != "cpu":
                tensor.copy_(torch.from_numpy(array))
        return
    coupled, shrinkage = rule.coupled(kind), rule.shrinkage(rate, kind)
    if coupled:
        g = torch.add(g, w, alpha=coupled)
    if shrinkage != 1:
        w.mul_(shrinkage)
    if isinstance(rule, Adam):
        mean, square = state
        mean.mul_(rule.beta1).add_(g, alpha=1 - rule.beta1)
        square.mul_(rule.beta2).addcmul_(g, g, value=1 - rule.beta2)
        root = (square / (1 - rule.beta2**t)).sqrt_().add_(rule.tiny)
        w.addcdiv_(mean, root, value=-rate / (1 - rule.beta1**t))
    elif not rule.momentum:
        w.add_(g, alpha=-rate)
    else:
        (v,) = state
        v.mul_(rule.momentum).add_(g, alpha=-rate)
        if rule.nesterov:
            w.add_(v, alpha=rule.momentum).add_(g, alpha=-rate)
        else:
            w.add_(v)
