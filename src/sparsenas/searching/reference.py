"""The slow reference of scoring: one candidate at a time, on a copy of the whole supernet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.elastic import SliceBatchNorm2d
from sparsenas.core.gate import set_gates
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.recalibration import running_norms
from sparsenas.nn.tree import Tree, call


@torch.no_grad()
def reference_outputs(
    net: nn.Module, arch: Arch, calibration: Iterable[Tree], inputs: Iterable[Tree]
) -> Iterator[Tree]:
    """The outputs of a candidate for batches of inputs, after its norms were recalibrated.

    Dropout and the like are off. Without calibration batches the supernet's own statistics stay.
    """
    own = deep_copy(net).eval()
    set_gates(own, arch.gates())
    slices = [module for module in own.modules() if isinstance(module, SliceBatchNorm2d)]
    norms: list[nn.Module] = [norm for norm in running_norms(own) if norm.running_mean is not None]
    calls = [(norm, _statistics_of_calls(norm)) for norm in norms + slices]
    for x in calibration:
        call(own, x)
    for norm, statistics in calls:
        for name, every in statistics.items():
            if every:
                running = norm.get_buffer(name)
                running.copy_(torch.stack(every).mean(0))
    own.eval()
    for x in inputs:
        yield call(own, x)


def _statistics_of_calls(norm: nn.Module) -> dict[str, list[Tensor]]:
    """The statistics of every batch that the norm will be called with in train mode, in double precision."""
    calls: dict[str, list[Tensor]] = {"running_mean": [], "running_var": []}
    forward = norm.train().forward
    norm.momentum = 1.0  # type: ignore[assignment]  # the running statistics become those of the last call

    def recorded(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        if norm.training:
            for name, every in calls.items():
                every.append(norm.get_buffer(name).to(torch.double, copy=True))
        return output

    norm.forward = recorded
    return calls
