"""Gradient: how large the gradient of an untrained network is; among equal costs a small one trains better."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.nn.tree import Tree, call, map_tensors, tensors

EXAMPLES = 16
"""Of the inputs; more change the order little."""


class Gradient:
    """The gradient of candidates on one untrained supernet and one batch of inputs; each is computed once.

    It is that of the sum of the outputs, each times a random sign, by all weights, divided by the size of the outputs:
    the scale of the last layers does not count. With batch norm and no skip connections gradients grow from layer to
    layer toward the input (Yang et al., ICLR 2019). So of two networks of equal cost and depth that with the smaller
    gradient trains better. Without these it says little: a network of few layers has a small gradient too.
    """

    def __init__(self, net: nn.Module, inputs: Tree) -> None:
        """``net`` has the weights that are to be used, as ``untrained`` draws them."""
        self.net, self.inputs = net.train(), map_tensors(lambda x: x[:EXAMPLES], inputs)
        self._known: dict[Arch, float] = {}

    def __call__(self, archs: Sequence[Arch]) -> list[float]:
        """The size of the gradient of each candidate, negative: more is better; minus infinity where it overflows."""
        for arch in archs:
            if arch not in self._known:
                self._known[arch] = -self._size(arch)
        return [self._known[arch] for arch in archs]

    def _size(self, arch: Arch) -> float:
        set_gates(self.net, arch.gates())
        weights = [weight for weight in self.net.parameters() if weight.requires_grad]
        with torch.enable_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            outputs = [y for y in tensors(call(self.net, self.inputs)) if y.requires_grad]
            signs = [_signs(y) for y in outputs]
            gradients = torch.autograd.grad(outputs, weights, signs, allow_unused=True) if outputs else ()
        size, scale = _norm([gradient for gradient in gradients if gradient is not None]), _norm(outputs)
        return size / scale if scale > 0 and math.isfinite(size) else math.inf


def _norm(parts: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(part.detach().double().square().sum()) for part in parts))


def _signs(like: Tensor) -> Tensor:
    return (torch.rand(like.shape, device=like.device) < 0.5).to(like.dtype) * 2 - 1
