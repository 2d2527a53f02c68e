"""Batch norm recalibrated: its statistics become the exact mean of those of given batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from sparsenas.errors import UserError
from sparsenas.nn.hooks import Forward, replace_forward
from sparsenas.nn.tree import Tree, call


def running_norms(module: nn.Module) -> list[_BatchNorm | _InstanceNorm]:
    """The batch norms in a module, and the instance norms that keep statistics as they do."""
    norms = (part for part in module.modules() if isinstance(part, _BatchNorm | _InstanceNorm))
    return [norm for norm in norms if isinstance(norm, _BatchNorm) or norm.running_mean is not None]


def use_batch_statistics(module: nn.Module) -> None:
    """Lets norms normalise by the batch at hand, whose statistics replace the running ones."""
    for norm in running_norms(module):
        norm.train()
        norm.momentum = 1.0


def before_calls(module: nn.Module, action: Callable[[Tensor], object]) -> Callable[[], None]:
    """Lets a module call ``action`` with its input before each run; returns the function that ends it."""

    def watched(forward: Forward) -> Forward:
        def run(input: Tensor, *args: Any, **kwargs: Any) -> Any:
            action(input)
            return forward(input, *args, **kwargs)

        return run

    return replace_forward(module, watched)


def check_batch(x: Tensor) -> None:
    """Raises ``UserError`` for an input with one value per channel, which has no variance."""
    if x.dim() > 1 and x.numel() == x.shape[1]:
        raise UserError(
            "--score.calibration, --score.batch: expected batches of at least 2 examples, since batch norm is "
            f"recalibrated on more than one value per channel, got an input of shape {tuple(x.shape)}"
        )


class MeanStatistics:
    """Collects the statistics of norms that ``use_batch_statistics``, and sets their mean over all calls.

    Each call counts alike, so batches should be of equal size. A norm may be called any number of times in a batch; the
    statistics of one that is never called stay.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        norms = [norm for module in modules for norm in running_norms(module) if norm.running_mean is not None]
        pairs = [(norm.running_mean, norm.running_var) for norm in norms]
        self.statistics = [t for pair in pairs for t in pair if t is not None]
        self.sizes = [len(t) for t in self.statistics]
        self.rows: list[Tensor] = []
        """The statistics of all norms in a row, for each batch; summed over the calls of a norm."""
        self.calls: list[list[int]] = []
        """For each batch, the number of calls of each norm."""
        self._calls = [0] * len(norms)
        self._earlier: dict[int, Tensor] = {}
        """By norm, the summed statistics of all calls in this batch but the last one."""
        self._restore = [before_calls(norm, partial(self._before, index)) for index, norm in enumerate(norms)]

    def _before(self, index: int, x: Tensor) -> None:
        """Keeps the statistics that the call is about to replace."""
        check_batch(x)
        if self._calls[index] > 0:
            last = torch.cat(self.statistics[2 * index : 2 * index + 2]).double()
            self._earlier[index] = self._earlier[index] + last if index in self._earlier else last
        self._calls[index] += 1

    def collect(self) -> None:
        """Keeps the statistics of the batch that has just been run."""
        if not self.statistics:
            return
        row = torch.cat(self.statistics)
        if self._earlier or not all(self._calls):
            parts = list(row.double().split([a + b for a, b in zip(self.sizes[::2], self.sizes[1::2], strict=True)]))
            for index, count in enumerate(self._calls):
                parts[index] = parts[index] + self._earlier.get(index, 0) if count else torch.zeros_like(parts[index])
            row = torch.cat(parts)
        self.rows.append(row)
        self.calls.append(self._calls)
        self._calls, self._earlier = [0] * len(self._calls), {}

    def set(self, gather: Callable[[Tensor], Tensor] = lambda rows: rows) -> None:
        """Sets the means, which are taken in double precision.

        Args:
            gather: maps the rows of this process to those of all processes.
        """
        if not self.statistics:
            return
        rows = [row.double() for row in self.rows]
        none = self.statistics[0].new_empty(0, sum(self.sizes), dtype=torch.double)
        sums = gather(torch.stack(rows) if rows else none).sum(0).split(self.sizes)
        calls = torch.tensor(self.calls, dtype=torch.long, device=none.device).view(-1, len(self._calls))
        counts = gather(calls).sum(0).tolist()
        for index, (t, total) in enumerate(zip(self.statistics, sums, strict=True)):
            if counts[index // 2] > 0:
                t.copy_(total / counts[index // 2])

    def end(self) -> None:
        """Leaves the norms as they were, but for their statistics."""
        for restore in self._restore:
            restore()


@contextmanager
def _as_before(net: nn.Module) -> Iterator[None]:
    """Restores the modes of all modules, and the momenta of norms."""
    modes = [(module, module.training) for module in net.modules()]
    momenta = [(norm, norm.momentum) for norm in running_norms(net)]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for norm, momentum in momenta:
            norm.momentum = momentum


@torch.no_grad()
def recalibrate(net: nn.Module, batches: Iterable[Tree]) -> None:
    """Recalibrates every batch norm of a plain network on batches of inputs; all else stays as it is.

    Dropout and the like are off, as in eval mode.
    """
    with _as_before(net):
        net.eval()
        use_batch_statistics(net)
        mean = MeanStatistics([net])
        try:
            for x in batches:
                call(net, x)
                mean.collect()
            mean.set()
        finally:
            mean.end()
