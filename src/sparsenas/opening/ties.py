"""Channels that the code of attention takes for each other: those that it reads, and those of its heads."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn

from sparsenas.opening.flow import Flow
from sparsenas.opening.numbers import FIXED

Tie = tuple[Tensor, Tensor]
"""Numbers that broadcast: what is to be united."""


def tie_attention(flow: Flow, net: nn.Module) -> None:
    """The channels that PyTorch's own attention reads are those of its heads: its code takes them for as many."""
    for path, module in net.named_modules():
        inner, read = (flow.dims.get((f"{path}.in_proj_weight", dim)) for dim in (0, 1))
        if isinstance(module, nn.MultiheadAttention) and inner is not None and read is not None:
            flow.numbers.unite(inner.view(3, -1), read)


def attention_ties(flow: Flow, net: nn.Module, labels: Collection[int]) -> list[Tie]:
    """The same for modules of a user's own, as ``channels // heads`` in their code may mean it.

    Each head with its share of the channels that its projections read, in all modules of the classes in which heads
    have one of these labels. Those that are united already are left out.
    """
    heads = [(counted, type(net.get_submodule(counted.owner))) for counted in flow.counted if counted.each > 1]
    wanted = torch.tensor(sorted({*labels} - {FIXED}))
    classes = {cls for counted, cls in heads if bool(torch.isin(flow.numbers.of(counted.parts[0]), wanted).any())}
    return [
        (counted.parts[0][:, None], read.view(-1, counted.each))
        for counted, cls in heads
        if cls in classes
        for read in _read(flow, counted.parts[0], counted.each)
    ]


def _read(flow: Flow, heads: Tensor, each: int) -> Iterator[Tensor]:
    """The channels that layers read which write nothing but these heads, where they are as many."""
    of = flow.numbers.of
    own = of(heads)
    for (name, dim), ids in flow.dims.items():
        if dim == 0 and (name, 1) in flow.inputs and bool(torch.isin(of(ids), own[own != FIXED]).all()):
            read = flow.dims[name, 1]
            if len(read) == len(heads) * each and not torch.equal(of(read), own.repeat_interleave(each)):
                yield read
