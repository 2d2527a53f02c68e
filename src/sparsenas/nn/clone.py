"""Copies of networks that share their weights."""

from __future__ import annotations

import copy
from collections import OrderedDict
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def deep_copy(module: nn.Module) -> nn.Module:
    """As ``copy.deepcopy``; tensors of a graph that a module keeps, such as its last output, are detached."""
    kept = (leaf for part in module.modules() for leaf in tree_leaves(vars(part)))
    return copy.deepcopy(module, {id(t): t.detach() for t in kept if isinstance(t, Tensor) and not t.is_leaf})


def clone_sharing_parameters(module: nn.Module) -> nn.Module:
    """A copy with the same parameters and its own buffers, submodules and hooks.

    Equals ``copy.deepcopy`` with the parameters in its memo, but is about ten times as fast. Other attributes (numbers,
    shapes, names) are shared as well, so they must not be changed in place. Scripted modules are copied whole.
    """
    return _clone(module, {}, {})


def _clone(module: nn.Module, done: dict[nn.Module, nn.Module], buffers: dict[int, Tensor]) -> nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        done.setdefault(module, copy.deepcopy(module))
    if module not in done:
        done[module] = copied = shallow(module)
        copied._modules = {name: child and _clone(child, done, buffers) for name, child in module._modules.items()}
        for name, buffer in module._buffers.items():
            if buffer is not None and id(buffer) not in buffers:
                buffers[id(buffer)] = buffer.detach().clone()
            copied._buffers[name] = None if buffer is None else buffers[id(buffer)]
    return done[module]


def shallow(module: nn.Module) -> nn.Module:
    """A copy of one module with the same parameters, buffers and submodules, in dictionaries and sets of its own.

    A method of its own that the module holds, as in ``self.run = self.run_fast``, becomes that of the copy.
    """
    copied = module.__new__(type(module))
    copied.__dict__ = {name: _copied(value, module, copied) for name, value in module.__dict__.items()}
    return copied


def _copied(value: Any, module: nn.Module, copied: nn.Module) -> Any:
    """A shallow copy; the dictionaries of PyTorch's modules are copied much faster by their own method."""
    if isinstance(value, dict):
        return value.copy() if type(value) in (dict, OrderedDict) else copy.copy(value)
    if isinstance(value, MethodType) and value.__self__ is module:
        return MethodType(value.__func__, copied)
    return value.copy() if type(value) is set else value
