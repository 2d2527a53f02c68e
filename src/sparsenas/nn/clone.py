"""Copies of networks that share their weights."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

ATOMS = frozenset((int, float, bool, str, type(None), torch.dtype, torch.device))
"""Types of values that need no copy."""


def deep_copy(module: nn.Module) -> nn.Module:
    """As ``copy.deepcopy``; tensors of a graph that a module keeps, such as its last output, are detached."""
    return copy_with(module, {id(tensor): tensor.detach() for tensor in _of_graphs(module)})


def _of_graphs(module: nn.Module) -> Iterator[Tensor]:
    """The tensors of a graph that a module keeps: its last output, or a weight that the older weight norm computes."""
    held = (value for part in module.modules() for value in vars(part).values() if type(value) not in ATOMS)
    kept = (leaf for value in held if not (isinstance(value, dict | set) and not value) for leaf in tree_leaves(value))
    return (leaf for leaf in kept if isinstance(leaf, Tensor) and not leaf.is_leaf)


def on_meta(net: nn.Module) -> nn.Module:
    """A copy of ``net`` that has shapes but no numbers; parameters used in several places stay one."""
    shells: dict[int, Any] = {id(tensor): torch.empty_like(tensor, device="meta") for tensor in _of_graphs(net)}
    for tensor in (*net.parameters(), *net.buffers()):
        shell = torch.empty_like(tensor, device="meta", requires_grad=False)
        is_parameter = isinstance(tensor, nn.Parameter)
        shells[id(tensor)] = nn.Parameter(shell, tensor.requires_grad) if is_parameter else shell
    return copy_with(net, shells)


def copy_with(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """As ``copy.deepcopy`` with this memo, but several times as fast: dictionaries of modules are mostly empty."""
    if id(module) not in memo:
        if not _copied_by_state(type(module)):
            return copy.deepcopy(module, memo)
        memo[id(module)] = copied = module.__new__(type(module))
        reduced: Any = module.__reduce_ex__(2)  # Python 3.10 has no __getstate__ of every object
        state = reduced[2]
        memo.setdefault(id(memo), []).append(state)  # alive while ids are compared, as copy.deepcopy does
        copied.__dict__ = {
            name: value if type(value) in ATOMS else _copy_value(value, memo) for name, value in state.items()
        }
    return cast(nn.Module, memo[id(module)])


def _copied_by_state(kind: type[nn.Module]) -> bool:
    """Whether a copy of a module is one of all it holds, with no code of the class for it."""
    ours = [vars(base) for base in kind.__mro__[:-1] if not base.__module__.startswith("torch.nn.modules.")]
    codes = ("__deepcopy__", "__reduce__", "__reduce_ex__", "__setstate__")
    if any(own.get("__slots__") or any(name in own for name in codes) for own in ours):
        return False
    return not issubclass(kind, torch.jit.ScriptModule | nn.RNNBase)  # an LSTM keeps references to its own weights


def _copy_value(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if (kind is dict or kind is OrderedDict) and not value and id(value) not in memo:  # most of what modules hold
        return memo.setdefault(id(value), kind())
    if kind in ATOMS or (kind is tuple and ATOMS.issuperset(map(type, value))):
        return value
    if id(value) in memo:
        return memo[id(value)]
    if kind is set and not value:
        return memo.setdefault(id(value), set())
    if kind is dict or kind is OrderedDict:
        memo[id(value)] = copied = kind()
        for key, part in value.items():
            copied[key] = _copy_value(part, memo)
        return copied
    return copy_with(value, memo) if isinstance(value, nn.Module) else copy.deepcopy(value, memo)


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
