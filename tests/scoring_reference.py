"""The slow reference of scoring: one candidate after another, each on a copy of the supernet."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparsenas.core.arch import Arch
from sparsenas.core.elastic import SliceBatchNorm2d
from sparsenas.core.gate import set_gates
from sparsenas.objectives import Classification, Metrics
from sparsenas.searching.eval_batches import EvalBatches


@torch.no_grad()
def score_one(net: nn.Module, arch: Arch, eval_batches: EvalBatches, classes: int = 10) -> Metrics:
    """Averages the statistics of the calibration batches in train mode, then the metrics in eval mode.

    Dropout and the like stay off. Without calibration batches the supernet's own statistics stay.
    """
    net = copy.deepcopy(net).eval()
    set_gates(net, arch.gates())
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm | SliceBatchNorm2d)]
    for norm in norms:
        norm.train()
    for i, x in enumerate(eval_batches.calibration):
        for norm in norms:
            norm.momentum = 1 / (i + 1)  # the first batch replaces what was there, the i-th makes a running mean
        net(x)
    net.eval()
    objective = Classification(classes)
    return objective.result(sum(objective.sums(net(x), labels) for x, labels in eval_batches.val_batches))
