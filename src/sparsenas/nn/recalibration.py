"""Batch norm recalibrated: its statistics become the exact mean of those of given batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The batch norms in a module."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


def use_batch_statistics(module: nn.Module) -> None:
    """Lets batch norms normalise by the batch at hand, whose statistics replace the running ones."""
    for norm in batch_norms(module):
        norm.train()
        norm.momentum = 1.0


class MeanStatistics:
    """Collects the statistics of batch norms that ``use_batch_statistics``, and sets their mean over the batches.

    Each batch counts alike, so batches should be of equal size.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        norms = [norm for module in modules for norm in batch_norms(module)]
        self.statistics = [t for norm in norms for t in (norm.running_mean, norm.running_var) if t is not None]
        self.rows: list[Tensor] = []
        """The statistics of all norms in a row, for each batch."""

    def collect(self) -> None:
        """Keeps the statistics of the batch that has just been run."""
        if self.statistics:
            self.rows.append(torch.cat(self.statistics))

    def set(self, gather: Callable[[Tensor], Tensor] = lambda rows: rows) -> None:
        """Sets the means, which are taken in double precision. Without a batch the statistics stay.

        Args:
            gather: maps the rows of this process to those of all processes.
        """
        if not self.statistics:
            return
        sizes = [len(t) for t in self.statistics]
        rows = gather(torch.stack(self.rows) if self.rows else self.statistics[0].new_empty(0, sum(sizes)))
        if len(rows) > 0:
            for t, mean in zip(self.statistics, rows.double().mean(0).split(sizes), strict=True):
                t.copy_(mean)


@torch.no_grad()
def recalibrate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Recalibrates every batch norm of a plain network on batches of inputs; all else stays as it is.

    Dropout and the like are off, as in eval mode.
    """
    modes = [(module, module.training) for module in net.modules()]
    momenta = [(norm, norm.momentum) for norm in batch_norms(net)]
    net.eval()
    use_batch_statistics(net)
    mean = MeanStatistics([net])
    for x in batches:
        net(x)
        mean.collect()
    mean.set()
    for module, training in modes:
        module.training = training
    for norm, momentum in momenta:
        norm.momentum = momentum
