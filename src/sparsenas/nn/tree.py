"""Trees: tensors in tuples, lists and dictionaries, nested in any way; and networks called on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

Tree: TypeAlias = Any
"""A tensor, or a tuple, list or dictionary of trees. In a batch the first dimension of each tensor is the examples."""


def tensors(tree: Tree) -> list[Tensor]:
    """The tensors of a tree, in order."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def map_tensors(function: Callable[[Tensor], Any], tree: Tree) -> Tree:
    """The tree with each tensor replaced by the result of ``function``."""
    if isinstance(tree, Tensor):
        return function(tree)
    return pytree.tree_map_only(Tensor, function, tree)


def count(tree: Tree) -> int:
    """The number of examples of a batch."""
    return len(tree) if isinstance(tree, Tensor) else len(tensors(tree)[0])


def device_of(tree: Tree) -> torch.device:
    """The device of the first tensor."""
    return tensors(tree)[0].device


def concatenated(trees: Sequence[Tree]) -> Tree:
    """The examples of several batches of the same form as one batch."""
    columns = zip(*map(tensors, trees), strict=True)
    joined = [torch.cat(column) for column in columns]
    _, form = pytree.tree_flatten(trees[0])
    return pytree.tree_unflatten(joined, form)


def shapes(tree: Tree) -> Any:
    """The shapes of one example, without the dimension of the examples, as lists in the form of the tree."""
    return _plain(map_tensors(lambda leaf: list(leaf.shape[1:]), tree))


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(name): _plain(value) for name, value in tree.items()}
    return [_plain(value) for value in tree] if isinstance(tree, tuple | list) else tree


def arguments(net: Callable[..., Any], x: Tree) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments on which a network is called for an input.

    A tuple or list is the positional arguments, a dictionary the arguments by name, where the network takes them so;
    anything else is its one argument.
    """
    if isinstance(x, Tensor):
        return (x,), {}
    args, kwargs = ((), dict(x)) if isinstance(x, dict) else (tuple(x), {})
    try:
        inspect.signature(net.forward if isinstance(net, nn.Module) else net).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return (x,), {}
    return args, kwargs


def call(net: Callable[..., Any], x: Tree) -> Any:
    """The output of a network for an input, which may be a tree."""
    if isinstance(x, Tensor):
        return net(x)
    args, kwargs = arguments(net, x)
    return net(*args, **kwargs)


def call_on_copy(net: Callable[..., Any], x: Tree) -> Any:
    """As ``call``, for networks that may change their input in place."""
    return call(net, map_tensors(Tensor.clone, x))
