"""Attention with learned relative positions of keys and values (Shaw et al., 2018), in two dimensions as in AutoFormer.

Tokens are a class token and then a grid, row by row. Each pair of a query and a key has a vector: the sum of an entry
of a vertical table, for the rows from query to key, and one of a horizontal table, for the columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RelativePositions(nn.Module):
    """The vectors of a grid, from two tables. Entry 0 of both is for pairs with the class token.

    Args:
        grid: rows and columns.
        size: channels of a vector.
        distance: rows and columns further away than this have the entry of this distance.
    """

    entries: Tensor

    def __init__(self, grid: tuple[int, int], size: int, distance: int) -> None:
        super().__init__()
        self.vertical, self.horizontal = (nn.Parameter(torch.zeros(2 * distance + 2, size)) for _ in grid)
        rows, columns = (torch.arange(count) for count in grid)
        down = _entries(rows.repeat_interleave(grid[1]), grid[0], distance)
        right = _entries(columns.repeat(grid[0]), grid[1], distance)
        # Of the two tables one after the other, behind the vector to the class token.
        entries = torch.cat([torch.zeros_like(down[:, :1]), 1 + down, 1 + len(self.vertical) + right], 1)
        self.register_buffer("entries", entries, persistent=False)

    def forward(self) -> Tensor:
        """For each token its part of the vectors: to the class token, to each row, and to each column.

        The shape is (tokens, 1 + rows + columns, size). The vector to a place is the sum of those to its row and its
        column.
        """
        first = self.vertical[:1] + self.horizontal[:1]
        return torch.cat([first, self.vertical, self.horizontal])[self.entries]


def _entries(places: Tensor, count: int, distance: int) -> Tensor:
    """The entry of a table for each token, whose row (or column) is one of ``places``, and each row (or column)."""
    steps = (torch.arange(count) - places[:, None]).clamp(-distance, distance)
    return F.pad(steps + distance + 1, (0, 0, 1, 0))


class RelativeDotProduct(nn.Module):
    """``DotProduct`` with relative positions, which all heads share.

    The vector of query and key is added to the key where they are compared, and another to the value that is read.
    No vector of a pair is ever made: there is one product with the vectors to each row and column, for all tokens at
    once, in place of one with those to each token.

    Args:
        grid: rows and columns of the tokens that follow the class token.
        size: channels of a head.
        distance: the largest distance that has a vector of its own.
    """

    def __init__(self, grid: tuple[int, int], size: int, distance: int) -> None:
        super().__init__()
        self.grid = grid
        self.keys, self.values = RelativePositions(grid, size, distance), RelativePositions(grid, size, distance)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query = query * query.shape[-1] ** -0.5
        to_lines = torch.einsum("bhnd,nld->bhnl", query, self.keys())
        weights = (query @ key.mT + self._over_pairs(to_lines)).softmax(-1)
        positions = torch.einsum("bhnl,nld->bhnd", self._over_lines(weights), self.values())
        return weights @ value + positions

    def _over_pairs(self, lines: Tensor) -> Tensor:
        """Numbers for every key, from those for the class token, each row and each column: the sum of two."""
        first, rows, columns = lines.split([1, *self.grid], -1)
        return torch.cat([first, (rows[..., None] + columns[..., None, :]).flatten(-2)], -1)

    def _over_lines(self, weights: Tensor) -> Tensor:
        """The opposite: the sum over the keys of each row and of each column."""
        places = weights[..., 1:].unflatten(-1, self.grid)
        return torch.cat([weights[..., :1], places.sum(-1), places.sum(-2)], -1)
