"""Folding constant factors and batch norms into the layers before them."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from sparsenas.nn.blocks import DropPath, Scale
from sparsenas.nn.clone import shallow
from sparsenas.nn.hooks import has_hooks

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Scaled(nn.Module):
    """An operation times a constant, not folded yet; ``derive`` replaces it by ``scale_output`` of the plain ``op``."""

    def __init__(self, op: nn.Module, factor: float) -> None:
        super().__init__()
        self.op = op
        self.factor = factor


def scale_output(op: nn.Module, factor: float) -> nn.Module:
    """A module whose output is ``factor`` times that of ``op``; it shares all layers of ``op`` but the scaled one.

    The factor is multiplied into the affine parameters of a last batch norm (gamma' = z gamma, beta' = z beta, which
    holds for running and for batch statistics) or into the weights of a last linear layer. Else a ``Scale`` follows.
    """
    # Exact types only: a subclass may do more than its base, such as quantize its weights, and not scale with them.
    if has_hooks(op):
        return nn.Sequential(op, Scale(factor))
    if type(op) is nn.Sequential and len(op) > 0:
        copied = shallow(op)
        *before, (name, last) = op._modules.items()
        if type(last) is DropPath and before:  # the factor may come before or after it
            name, last = before[-1]
        assert last is not None
        copied._modules[name] = scale_output(last, factor)
        return copied
    if type(op) is nn.Identity:
        return Scale(factor)
    if type(op) not in (*NORMS, nn.Conv2d, nn.Linear) or not list(op.parameters(recurse=False)):
        return nn.Sequential(op, Scale(factor))
    scaled = copy.deepcopy(op)
    with torch.no_grad():
        for parameter in scaled.parameters(recurse=False):
            parameter.mul_(factor)
    return scaled


def fold_batch_norms(net: nn.Module) -> nn.Module:
    """Replaces, in place, each convolution followed by a batch norm in a ``Sequential`` by one convolution.

    For a network in eval mode; outputs change by rounding only. The new convolutions have weights of their own, so
    weights that ``net`` shares with another network are left alone. Layers with hooks stay. Returns ``net``.
    """
    for module in net.modules():
        if type(module) is nn.Sequential:
            layers = list(module)
            for i in range(len(layers) - 1):
                conv, norm = layers[i], layers[i + 1]
                if _can_fold(conv, norm):
                    module[i], module[i + 1] = _fused(conv, norm), nn.Identity()
    return net


def _can_fold(conv: nn.Module, norm: nn.Module) -> bool:
    known = type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.running_mean is not None
    return known and not has_hooks(conv) and not has_hooks(norm)


def _fused(conv: nn.Module, norm: nn.Module) -> nn.Module:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    fused = shallow(conv)
    assert isinstance(conv, nn.Conv2d)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return fused
