"""The slow reference of scoring: one candidate at a time, on a copy of the whole supernet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.elastic import SliceBatchNorm2d
from sparsenas.core.gate import set_gates
from sparsenas.distributed.collectives import rank_slice
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.recalibration import check_batch, running_norms
from sparsenas.nn.tree import Tree, call_on_copy
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.searching.way import Tick, Way


class OneByOne(Way):
    """The reference for each candidate in turn. What a network draws at random depends on the candidate alone."""

    def __init__(self, net: nn.Module, batches: EvalBatches, alone: bool = False) -> None:
        self.net, self.calibration = net, batches.calibration
        self.val = batches.val_batches if alone else batches.part(rank_slice()).val_batches

    def outputs(self, archs: Sequence[Arch], tick: Tick) -> Iterator[tuple[int, int, Tree]]:
        """As ``Way.outputs``."""
        for index, arch in enumerate(archs):
            with seeded(self.net):
                found = list(reference_outputs(self.net, arch, self.calibration, [x for x, _ in self.val]))
            for _ in self.calibration:
                tick()
            for batch, output in enumerate(found):
                yield batch, index, output
                tick()


@contextmanager
def seeded(net: nn.Module) -> Iterator[None]:
    """Random numbers that are the same each time; the generators are then as before."""
    devices = {p.device for p in net.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(0)
        yield


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
    for norm in norms + slices:
        _use_mean_of_calls(norm)
    for x in calibration:
        call_on_copy(own, x)
    own.eval()
    for x in inputs:
        yield call_on_copy(own, x)


def _use_mean_of_calls(norm: nn.Module) -> None:
    """Puts a norm into train mode; later, in eval mode, its statistics are the mean of those of all calls until then.

    They are set at each call, since its buffers may be slices for the time of a call. The mean is of double precision.
    """
    calls: dict[str, list[Tensor]] = {"running_mean": [], "running_var": []}
    forward = norm.train().forward
    norm.momentum = 1.0  # type: ignore[assignment]  # the running statistics become those of the last call

    def recorded(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if norm.training:
            check_batch(input)
        else:
            for name, every in calls.items():
                if every:
                    norm.get_buffer(name).copy_(torch.stack(every).mean(0))
        output = forward(input, *args, **kwargs)
        if norm.training:
            for name, every in calls.items():
                every.append(norm.get_buffer(name).to(torch.double, copy=True))
        return output

    norm.forward = recorded
