"""Torch-Pruning: the least important groups of channels go, in all layers together, at once."""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
import torch_pruning as tp
from task import MULTIPLE, SHAPE, Images, costs, largest
from torch import nn
from torch.nn import functional as F
from training import normalized


def _pruned(net: nn.Module, importance: Any, ratio: float, whole: bool) -> nn.Module:
    """A copy with this share of all channels gone; ``whole`` ranks the channels of all layers together."""
    net = copy.deepcopy(net)
    example = torch.zeros(1, *SHAPE, device=next(net.parameters()).device)
    last = [m for m in net.modules() if isinstance(m, nn.Linear)]
    pruner = tp.pruner.BasePruner(
        net,
        example,
        importance=importance(net),
        pruning_ratio=ratio,
        max_pruning_ratio=0.875,
        global_pruning=whole,
        ignored_layers=last,
        round_to=MULTIPLE,
    )
    pruner.step()
    return net


def _by_weights(net: nn.Module) -> Any:
    return tp.importance.GroupMagnitudeImportance(p=2)


def _by_taylor(data: Images) -> Any:
    x, y = normalized(data.train[0][:1024]), data.train[1][:1024]

    def importance(net: nn.Module) -> Any:
        F.cross_entropy(net(x), y).backward()
        return tp.importance.GroupTaylorImportance()

    return importance


def prune(
    net: nn.Module, data: Images, share: float, *, taylor: bool = False, whole: bool = True
) -> tuple[nn.Module, dict[str, Any]]:
    """The network of the lowest ratio that is within the budget, with its weights, and what it took."""
    started = time.perf_counter()
    most, importance = share * costs(net)["flops"], _by_taylor(data) if taylor else _by_weights
    keep = largest(lambda kept: costs(_pruned(net, importance, 1 - kept, whole))["flops"] <= most, 0.02, 1.0, 10)
    return _pruned(net, importance, 1 - keep, whole), {"search_s": time.perf_counter() - started}
