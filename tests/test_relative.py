"""Attention with relative positions equals one that looks up the vector of each pair of tokens."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nets import seeds
from torch import Tensor, nn

from sparsenas.nn.relative import RelativeDotProduct, RelativePositions

Grid = tuple[int, int]


def vectors(vertical: Tensor, horizontal: Tensor, grid: Grid) -> Tensor:
    """The vector of each query and key, one pair at a time, of shape (tokens, tokens, size)."""
    distance, tokens = len(vertical) // 2 - 1, 1 + grid[0] * grid[1]

    def entry(query: int, key: int) -> int:
        return min(max(key - query, -distance), distance) + distance + 1

    found = torch.zeros(tokens, tokens, vertical.shape[1], dtype=vertical.dtype)
    for i in range(tokens):
        for j in range(tokens):
            if i == 0 or j == 0:
                found[i, j] = vertical[0] + horizontal[0]
            else:
                (row, column), (to_row, to_column) = divmod(i - 1, grid[1]), divmod(j - 1, grid[1])
                found[i, j] = vertical[entry(row, to_row)] + horizontal[entry(column, to_column)]
    return found


def attend(q: Tensor, k: Tensor, v: Tensor, to_keys: Tensor, to_values: Tensor) -> Tensor:
    """One head, one query at a time."""
    size = q.shape[-1]
    rows = []
    for i in range(q.shape[1]):
        weights = ((q[:, i, None] * (k + to_keys[i])).sum(-1) / size**0.5).softmax(-1)
        rows.append((weights[..., None] * (v + to_values[i])).sum(1))
    return torch.stack(rows, 1)


@settings(max_examples=25)
@given(st.tuples(st.integers(1, 4), st.integers(1, 4)), st.integers(1, 4), st.integers(1, 3), seeds)
def test_each_pair_of_tokens_has_its_vector(grid: Grid, distance: int, heads: int, seed: int) -> None:
    torch.manual_seed(seed)
    size, tokens = 3, 1 + grid[0] * grid[1]
    product = RelativeDotProduct(grid, size, distance).double()
    for table in product.parameters():
        nn.init.normal_(table)
    heads_of = [torch.randn(2, heads, tokens, size, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    pairs = [vectors(positions.vertical, positions.horizontal, grid) for positions in (product.keys, product.values)]
    expected = torch.stack([attend(*(x[:, i] for x in heads_of), *pairs) for i in range(heads)], 1)
    found = product(*heads_of)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    inputs = [*heads_of, *product.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(found.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_published_tables() -> None:
    positions = RelativePositions((14, 14), 64, 14)
    assert [tuple(p.shape) for p in positions.parameters()] == [(30, 64), (30, 64)]
    assert positions().shape == (197, 29, 64)
    assert not positions.state_dict().keys() - {"vertical", "horizontal"}
