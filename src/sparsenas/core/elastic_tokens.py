"""Sliced layers for transformers, whose channels are the last dimension. AutoFormer's weight entangling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.core.derive import Derivable
from sparsenas.core.elastic import Channels, filled, most, now
from sparsenas.nn.transformer import Tokens


class SliceLayerNorm(Derivable):
    """Layer norm over channels that may be a ``Width``."""

    def __init__(self, features: Channels, eps: float = 1e-5) -> None:
        super().__init__()
        self.features, self.eps = features, eps
        self.weight = nn.Parameter(torch.ones(most(features)))
        self.bias = nn.Parameter(torch.zeros(most(features)))

    def forward(self, x: Tensor) -> Tensor:
        n = now(self.features)
        return F.layer_norm(x, (n,), self.weight[:n], self.bias[:n], self.eps)

    def derived(self) -> nn.Module:
        """An ``nn.LayerNorm`` of the chosen width."""
        n = now(self.features)
        norm = nn.LayerNorm(n, self.eps, device="meta")  # without filling weights
        return filled(norm, self.weight[:n], self.bias[:n]).train(self.training)


class SliceTokens(Derivable):
    """``Tokens`` whose channels may be a ``Width``.

    Args:
        features: the channels.
        length: number of tokens of an input.
    """

    def __init__(self, features: Channels, length: int) -> None:
        super().__init__()
        self.features = features
        self.token = nn.Parameter(torch.zeros(1, 1, most(features)))
        self.position = nn.Parameter(torch.zeros(1, length + 1, most(features)))

    def forward(self, x: Tensor) -> Tensor:
        n = now(self.features)
        return Tokens.run(x, self.token[..., :n], self.position[..., :n])

    def derived(self) -> nn.Module:
        """The ``Tokens`` of the chosen width."""
        n = now(self.features)
        token, position = (full[..., :n].detach().clone() for full in (self.token, self.position))
        return Tokens(token, position).train(self.training)
