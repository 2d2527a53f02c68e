"""Copies of networks that share their weights."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

from torch import nn


def clone_sharing_parameters(module: nn.Module, done: dict[nn.Module, nn.Module] | None = None) -> nn.Module:
    """A copy with the same parameters and its own buffers, submodules and hooks.

    Equals ``copy.deepcopy`` with the parameters in its memo, but is about ten times as fast. Other attributes (numbers,
    shapes, names) are shared as well, so they must not be changed in place.
    """
    done = {} if done is None else done
    if module not in done:
        done[module] = shallow(module)
        children = {name: child and clone_sharing_parameters(child, done) for name, child in module._modules.items()}
        done[module]._modules = children
        buffers = module._buffers.items()
        done[module]._buffers = {name: None if b is None else b.detach().clone() for name, b in buffers}
    return done[module]


def shallow(module: nn.Module) -> nn.Module:
    """A copy of one module with the same parameters, buffers and submodules, in dictionaries of its own."""
    copied = module.__new__(type(module))
    copied.__dict__ = {name: _copied(v) if isinstance(v, dict) else v for name, v in module.__dict__.items()}
    return copied


def _copied(values: dict[Any, Any]) -> dict[Any, Any]:
    """A shallow copy; the dictionaries of PyTorch's modules are copied much faster by their own method."""
    return values.copy() if type(values) in (dict, OrderedDict) else copy.copy(values)
