"""Several weighted sums of the same tensors at once, which read each tensor once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

PIECE = 1 << 16
"""Elements of each tensor that a CPU works on at a time, so that they stay in its cache."""


def mix(weights: Tensor, sources: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Returns ``sum_k weights[n, k] * sources[k]`` for every n: the inputs of the nodes of one level.

    One product with a small matrix, in the precision of ``weights``, replaces a loop of scaled additions, which would
    read every source and its gradient once for each n. Only the sources are kept for the backward pass.

    Args:
        weights: of shape (sums, sources).
        sources: tensors of one shape, at least one.
    """
    sums: tuple[Tensor, ...] = _Mix.apply(weights, *_like(sources, sources[0]))  # type: ignore[no-untyped-call]
    return sums


def mix_slowly(weights: Tensor, sources: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The slow reference of ``mix``."""
    return tuple(sum(w * x for w, x in zip(row, sources, strict=True)) for row in weights)


def weighted_sum(
    reads: Sequence[Sequence[int]], weights: Sequence[Tensor], values: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """The weighted sum of the values that each node reads, by position; ``None`` is left out."""
    fed = [[(i, s) for i, s in enumerate(read) if values[s] is not None] for read in reads]
    positions = sorted({s for read in fed for _, s in read})
    entries = torch.cat([w[[i for i, _ in read]] for w, read in zip(weights, fed, strict=True)])
    rows = torch.tensor([n for n, read in enumerate(fed) for _ in read], device=entries.device)
    columns = torch.tensor([positions.index(s) for read in fed for _, s in read], device=entries.device)
    matrix = entries.new_zeros(len(reads), len(positions)).index_put((rows, columns), entries, accumulate=True)
    return mix(matrix, [x for x in (values[s] for s in positions) if x is not None])


Known = dict[tuple[int, ...], Tensor]
"""Sums of values by their positions, in order of addition."""


def add_values(read: Sequence[int], values: Sequence[Tensor | None], known: Known) -> Tensor:
    """The sum of the values at some positions, in order; begins with the longest known sum of the first ones."""
    sources = tuple(s for s in read if values[s] is not None)
    length = next((n for n in range(len(sources), 0, -1) if sources[:n] in known), 0)
    total = known.get(sources[:length])
    for value in (values[s] for s in sources[length:]):
        total = value if total is None else total + value  # type: ignore[operator]
    assert total is not None
    known[sources] = total
    return total


def times(weight: Tensor, op: nn.Module, x: Tensor) -> Tensor:
    """``op(x)`` times a weight. A convolution's kernel is scaled, which is smaller than its output."""
    if type(op) is nn.Conv2d and op.bias is None and op.padding_mode == "zeros":
        factor = weight.to(op.weight.dtype)
        return functional.conv2d(x, op.weight * factor, None, op.stride, op.padding, op.dilation, op.groups)
    y: Tensor = op(x) * weight
    return y


class _Mix(Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, *sources: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(weights, *sources)
        sums = tuple(torch.empty_like(sources[0]) for _ in weights)
        columns = [_flat(x) for x in sources]
        rows = [_flat(y) for y in sums]
        for piece in _pieces(columns[0]):
            _put(rows, piece, weights @ _take(columns, piece, weights.dtype))
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, *sources = ctx.saved_tensors
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        backs = [torch.empty_like(sources[i]) for i in wanted]
        ups, columns, rows = ([_flat(x) for x in xs] for xs in (_like(gradients, sources[0]), sources, backs))
        learns = ctx.needs_input_grad[0]
        total = torch.zeros_like(weights)
        for piece in _pieces(columns[0]):
            up = _take(ups, piece, weights.dtype)
            _put(rows, piece, weights[:, wanted].T @ up)
            if learns:
                total.addmm_(up, _take(columns, piece, weights.dtype).T)
        found = dict(zip(wanted, backs, strict=True))
        return total if learns else None, *(found.get(i) for i in range(len(sources)))


def _like(tensors: Sequence[Tensor], like: Tensor) -> list[Tensor]:
    """The tensors in the memory order of ``like``."""
    last = like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    order = torch.channels_last if last else torch.contiguous_format
    return [x.contiguous(memory_format=order) for x in tensors]


def _flat(x: Tensor) -> Tensor:
    """All elements in memory order."""
    return (x if x.is_contiguous() else x.permute(0, 2, 3, 1)).view(-1)


def _pieces(x: Tensor) -> list[slice]:
    size = PIECE if x.device.type == "cpu" else x.numel()
    return [slice(start, min(start + size, x.numel())) for start in range(0, x.numel(), max(1, size))]


def _take(rows: Sequence[Tensor], piece: slice, dtype: torch.dtype) -> Tensor:
    taken = torch.stack([row[piece] for row in rows])
    return taken if taken.dtype == dtype else taken.to(dtype)


def _put(rows: Sequence[Tensor], piece: slice, values: Tensor) -> None:
    for row, value in zip(rows, values, strict=True):
        row[piece] = value
