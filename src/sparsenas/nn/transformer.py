"""Plain parts of vision transformers. Tokens have the shape (batch, tokens, channels)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Tokens(nn.Module):
    """Puts a learned class token before the tokens of an input, then adds a learned position to each.

    Args:
        token: of shape (1, 1, channels).
        position: of shape (1, tokens + 1, channels).
    """

    def __init__(self, token: Tensor, position: Tensor) -> None:
        super().__init__()
        self.token, self.position = nn.Parameter(token), nn.Parameter(position)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, self.token, self.position)

    @staticmethod
    def run(x: Tensor, token: Tensor, position: Tensor) -> Tensor:
        """The tokens of an input under a given class token and positions."""
        return torch.cat([token.expand(x.shape[0], -1, -1), x], dim=1) + position


class Attention(nn.Module):
    """Self-attention in heads of ``size`` channels; there are as many heads as the layers have channels for.

    Args:
        query: a layer from the channels of the tokens to those of the heads, as are ``key`` and ``value``.
        key: see ``query``.
        value: see ``query``.
        project: a layer from the channels of the heads to those of the tokens.
        size: channels of a head.
        attend: from queries, keys and values, of shape (batch, heads, tokens, size), to what each query reads.
    """

    def __init__(
        self, query: nn.Module, key: nn.Module, value: nn.Module, project: nn.Module, size: int, attend: nn.Module
    ) -> None:
        super().__init__()
        self.query, self.key, self.value, self.project, self.size = query, key, value, project, size
        self.attend = attend

    def forward(self, x: Tensor) -> Tensor:
        heads = [layer(x).unflatten(2, (-1, self.size)).transpose(1, 2) for layer in (self.query, self.key, self.value)]
        y: Tensor = self.project(self.attend(*heads).transpose(1, 2).flatten(2))
        return y


class DotProduct(nn.Module):
    """Attention by scaled products of queries and keys."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value)


class Patches(nn.Module):
    """The patches of an image as tokens, row by row.

    Args:
        conv: a convolution whose stride is its kernel.
    """

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x).flatten(2).transpose(1, 2)
        return y


class ClassToken(nn.Module):
    """Keeps the class token alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class PatchMean(nn.Module):
    """The mean over all tokens but the class token."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:].mean(1)
