"""Gradient: how large the gradient of an untrained network is; among equal costs a small one trains better."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.nn.tree import Tree, call, map_tensors, tensors
from sparsenas.searching.prior import Estimate

EXAMPLES = 16
"""Of the inputs; more change the order little."""


class Gradient:
    """The gradient of candidates on untrained supernets and one batch of inputs; each is computed once.

    It is that of the sum of the outputs, each times a random sign, by all weights, divided by the size of the outputs:
    the scale of the last layers does not count. With batch norm and no skip connections gradients grow from layer to
    layer toward the input (Yang et al., ICLR 2019). So of two networks of equal cost and depth that with the smaller
    gradient trains better. A network of few layers has a small gradient too; so candidates are compared at equal cost.
    """

    def __init__(self, nets: Sequence[nn.Module], inputs: Tree, cost: Estimate) -> None:
        """``nets`` are one supernet with different weights, as ``untrained`` draws them; ``cost`` is that of an
        architecture.
        """
        self.nets, self.inputs, self.cost = nets, map_tensors(lambda x: x[:EXAMPLES], inputs), cost
        for net in nets:
            net.train()
        self._known: dict[Arch, float] = {}

    def __call__(self, archs: Sequence[Arch]) -> NDArray[np.float64]:
        """How much smaller the gradient of each candidate is than others of its cost have it; more is better."""
        return -at_equal_cost([self.log_size(arch) for arch in archs], self.cost(archs))

    def log_size(self, arch: Arch) -> float:
        """The logarithm of the size of the gradient, a mean over the networks; infinite where it overflows."""
        if arch not in self._known:
            sizes = [self._size(net, arch) for net in self.nets]
            self._known[arch] = sum(map(math.log, sizes)) / len(sizes)
        return self._known[arch]

    def _size(self, net: nn.Module, arch: Arch) -> float:
        set_gates(net, arch.gates())
        weights = [weight for weight in net.parameters() if weight.requires_grad]
        with torch.enable_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            outputs = [y for y in tensors(call(net, self.inputs)) if y.requires_grad]
            signs = [_signs(y) for y in outputs]
            gradients = torch.autograd.grad(outputs, weights, signs, allow_unused=True) if outputs else ()
        size, scale = _norm([gradient for gradient in gradients if gradient is not None]), _norm(outputs)
        return size / scale if size > 0 and scale > 0 and math.isfinite(size) else math.inf


def at_equal_cost(values: ArrayLike, costs: ArrayLike) -> NDArray[np.float64]:
    """Values less what a straight line, fitted by least squares, tells of them by the logarithm of the cost.

    Infinite values stay, and do not count for the line.
    """
    y, x = np.asarray(values, dtype=float), np.log1p(np.asarray(costs, dtype=float))
    known = np.isfinite(y)
    if not known.any():
        return y
    away = x - x[known].mean()
    spread = float((away[known] ** 2).sum())
    slope = float((away[known] * y[known]).sum()) / spread if spread > 0 else 0.0
    left: NDArray[np.float64] = y - y[known].mean() - slope * away
    return left


def _norm(parts: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(part.detach().double().square().sum()) for part in parts))


def _signs(like: Tensor) -> Tensor:
    return (torch.rand(like.shape, device=like.device) < 0.5).to(like.dtype) * 2 - 1
