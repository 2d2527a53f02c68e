"""Synchronized batch norm: statistics over the images of all processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd import Function
from torch.nn import functional

from sparsenas.distributed.collectives import world
from sparsenas.nn.function_overrides import Replacements


def synced_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``torch.nn.functional.batch_norm`` of a batch that the processes share; ``x`` is this process's part.

    PyTorch's ``SyncBatchNorm`` needs GPUs and modules of its own. The parts of a batch must be of equal size.
    """
    if not training:
        return functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    var, mean = torch.var_mean(wide, [0, *range(2, x.dim())], correction=0)
    # In double precision: the variance would be lost beside the square of a mean far from 0.
    moments = torch.stack([mean.double(), var.double() + mean.double() ** 2])
    mean, square = _Sum.apply(moments) / world()  # type: ignore[no-untyped-call]
    var = (square - mean**2).clamp(min=0)
    if running_mean is not None and running_var is not None:
        count = x.numel() // x.shape[1] * world()
        running_mean.lerp_(mean.detach().to(running_mean), momentum)
        running_var.lerp_((var.detach() * (count / max(1, count - 1))).to(running_var), momentum)
    scale = (var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (-1, *[1] * (x.dim() - 2))
    return torch.addcmul(shift.to(x.dtype).view(shape), x, scale.to(x.dtype).view(shape))


SYNCED: Replacements = {functional.batch_norm: synced_batch_norm}
"""Synchronizes all batch norms in train mode."""


class _Sum(Function):
    """The sum over the processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient
