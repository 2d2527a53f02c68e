"""Collective operations of the processes of one job; with one process they do nothing.

All processes call each function in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from sparsenas.errors import UserError

T = TypeVar("T")


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank_slice() -> slice:
    """The items of a list, which all processes have, that are this process's share."""
    return slice(rank(), None, world())


def broadcast_from_rank0(make: Callable[[], T]) -> T:
    """Calls ``make`` in the first process only; returns its value, or raises its ``UserError``, in all processes."""
    if world() == 1:
        return make()
    told: list[object] = [None, None]
    if rank() == 0:
        try:
            told[0] = make()
        except UserError as error:
            told[1] = str(error)
    dist.broadcast_object_list(told)
    if told[1] is not None:
        raise UserError(str(told[1]))
    return told[0]  # type: ignore[return-value]


def all_reduce_sum(x: Tensor) -> Tensor:
    """The sum of all processes' tensors."""
    if world() == 1:
        return x
    total = _sendable(x.clone())
    dist.all_reduce(total)
    return total.to(x.device)


def all_gather(x: Tensor) -> Tensor:
    """The rows of all processes, in the order of the list that ``rank_slice`` divided; counts of rows may differ."""
    if world() == 1:
        return x
    device, x = x.device, _sendable(x)
    counts = [torch.zeros((), dtype=torch.long, device=x.device) for _ in range(world())]
    dist.all_gather(counts, torch.tensor(len(x), device=x.device))
    most = int(max(counts))
    parts = [x.new_empty(most, *x.shape[1:]) for _ in counts]
    dist.all_gather(parts, torch.cat([x, x.new_zeros(most - len(x), *x.shape[1:])]))
    return torch.stack(parts, 1).flatten(0, 1)[: int(sum(counts))].to(device)


def _sendable(x: Tensor) -> Tensor:
    """The tensor on a device that can send it: NCCL sends from GPUs only."""
    return x.cuda() if dist.get_backend() == "nccl" else x


def average_gradients(parameters: Iterable[Tensor], alike: bool = True) -> None:
    """Averages gradients over the processes.

    With ``alike`` false the processes may have run different layers. A parameter that only some of them used counts as
    zero in the others, and a parameter that none used has no gradient.
    """
    if world() == 1:
        return
    parameters = [p for p in parameters if p.requires_grad]
    if not alike and parameters:
        used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=parameters[0].device)
        for p, count in zip(parameters, all_reduce_sum(used).tolist(), strict=True):
            if p.grad is None and count > 0:
                p.grad = torch.zeros_like(p)
    gradients = [p.grad for p in parameters if p.grad is not None]
    for kind in {gradient.dtype: None for gradient in gradients}:
        _average([gradient for gradient in gradients if gradient.dtype == kind])


def _average(tensors: list[Tensor]) -> None:
    """Averages tensors in place, by one collective operation."""
    flat = torch.cat([x.reshape(-1) for x in tensors])
    dist.all_reduce(flat)
    flat /= world()
    for x, mean in zip(tensors, flat.split([x.numel() for x in tensors]), strict=True):
        x.copy_(mean.view(x.shape))
