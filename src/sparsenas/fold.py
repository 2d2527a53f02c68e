"""Folding constant factors and batch norms into the layers before them."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sparsenas.layers import Scale


def scale_output(op: nn.Module, factor: float) -> nn.Module:
    """A copy of ``op`` whose output is ``factor`` times as large.

    The factor goes into the affine parameters of a closing batch norm (gamma' = z gamma, beta' = z beta, which holds
    for running and for batch statistics alike) or into the weights of a closing linear layer; else a ``Scale`` follows.
    """
    op = copy.deepcopy(op)
    last = _last(op)
    if isinstance(last, _BatchNorm) and not last.affine:
        last.affine = True
        ones = torch.ones_like(last.running_mean) if last.running_mean is not None else torch.ones(last.num_features)
        last.weight, last.bias = nn.Parameter(ones), nn.Parameter(torch.zeros_like(ones))
    if not isinstance(last, _BatchNorm | nn.Conv2d | nn.Linear):
        return nn.Sequential(op, Scale(factor))
    with torch.no_grad():
        last.weight.mul_(factor)
        if last.bias is not None:
            last.bias.mul_(factor)
    return op


def _last(op: nn.Module) -> nn.Module:
    while isinstance(op, nn.Sequential) and len(op) > 0:
        op = op[-1]
    return op


def fold_batch_norms(net: nn.Module) -> nn.Module:
    """Replaces, in place, each convolution followed by a batch norm in a ``Sequential`` by one convolution.

    For a network in eval mode; outputs change by rounding only. The convolutions folded into are new, so weights
    that ``net`` shares with another network are left alone. Returns ``net``.
    """
    for module in net.modules():
        if isinstance(module, nn.Sequential):
            layers = list(module)
            for i in range(len(layers) - 1):
                conv, norm = layers[i], layers[i + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
                    module[i], module[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return net
