"""Facts about a space before any training."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from sparsenas.core.arch import MOST_TOLD, space_size
from sparsenas.core.gate import choices
from sparsenas.costs import CostTable, Shape
from sparsenas.costs.trace import is_shape
from sparsenas.errors import UserError, told
from sparsenas.job.plugin import Plugin
from sparsenas.nn.tree import Tree, map_tensors, shapes, tensors
from sparsenas.opening.capture import FailingExample
from sparsenas.opening.importing import import_callable
from sparsenas.spaces import Bridge


def input_shape(space: Plugin) -> Shape | Tree:
    """The shape at which costs are counted: the space's flag, else its default, which may be an example.

    Raises ``UserError``.
    """
    make = space.callable("space")
    if isinstance(make, Bridge) and not space.flags.get("shape"):
        return make.shape(space.flags.get("args", {}))
    parameters = inspect.signature(make).parameters
    shape = space.flags.get("shape") or (parameters["shape"].default if "shape" in parameters else None)
    if shape is None:
        raise UserError(
            f"--space {space.name}: expected --space.shape CHANNELS,HEIGHT,WIDTH, since it has no shape of its own"
        )
    return tuple(shape) if is_shape(shape) else shape


def sized_space(space: Plugin, example: Tree | None) -> tuple[nn.Module, Shape | Tree]:
    """A space, and the inputs at which its costs are counted: an example or its shape, by default the space's.

    Raises ``UserError``.
    """
    shape = input_shape(space) if example is None else example_shape(example)
    try:
        return space.build("space", shape=shape), shape
    except UserError as error:
        if isinstance(error.about, FailingExample) and example is None and not space.flags.get("shape"):
            raise UserError(f"{error}; this shape is the default: give --space.shape C,H,W or --example") from error
        raise


def named_example(name: str) -> Shape | Tree:
    """The shape of an input, or an example, from a function that returns a batch. Raises ``UserError``."""
    module, colon, attribute = name.partition(":")
    if not colon:
        raise UserError(f"--example: expected package.module:callable, got {name!r}")
    try:
        batch = import_callable("example", name, module, attribute)()
    except UserError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise UserError(f"--example {name}: cannot be called: {told(error)}") from error
    if not tensors(batch):
        raise UserError(f"--example {name}: expected a tree of tensors, got {type(batch).__name__}")
    return example_shape(batch)


def example_shape(example: Tree) -> Shape | Tree:
    """The shape of one input where that is one float tensor or given itself, else an example."""
    if is_shape(example):
        return tuple(example)
    if isinstance(example, Tensor) and example.dtype == torch.float32:
        return tuple(example.shape[1:])
    return map_tensors(lambda leaf: leaf[:1], example)


def space_words(space: Plugin, shape: Shape | Tree, **given: Any) -> str:
    """The flags that name a space on a command line; an example has no word there."""
    return space.words("space", **({"shape": shape} if is_shape(shape) else {}), **given)


def describe(space: Plugin, costs: bool = True) -> dict[str, Any]:
    """One space: its choices, the number of architectures, and with ``costs`` the range of each cost."""
    net, shape = space.build("space"), input_shape(space)
    searched = choices(net)
    facts = {
        "name": space.name,
        "shape": list(shape) if is_shape(shape) else shapes(shape),
        "size": min(space_size(searched), MOST_TOLD),
        "choices": [vars(choice) | {"options": list(choice.options)} for choice in searched.values()],
    }
    return facts | ({"range": reach(CostTable(net, shape))} if costs else {})


def reach(table: CostTable) -> dict[str, list[float]]:
    """Lowest and highest cost of the space, by cost."""
    return {cost: [table.exact(arch)[cost] for arch in table.extremes(cost)] for cost in table.costs}
