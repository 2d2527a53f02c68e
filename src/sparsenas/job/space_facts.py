"""Facts about a space before any training."""

from __future__ import annotations

import inspect
from typing import Any

from sparsenas.core.arch import space_size
from sparsenas.core.gate import choices
from sparsenas.costs import CostTable, Shape
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin


def input_shape(space: Plugin) -> Shape:
    """The image shape at which costs are counted: the space's flag, else its default. Raises ``UserError``."""
    parameters = inspect.signature(space.callable("space")).parameters
    shape = space.flags.get("shape") or (parameters["shape"].default if "shape" in parameters else None)
    if shape is None:
        raise UserError(
            f"--space {space.name}: expected --space.shape CHANNELS,HEIGHT,WIDTH, since it has no shape of its own"
        )
    return tuple(shape)


def describe(space: Plugin) -> dict[str, Any]:
    """One space: its choices, the number of architectures, and the range of each cost."""
    net, shape = space.build("space"), input_shape(space)
    searched = choices(net)
    return {
        "name": space.name,
        "shape": list(shape),
        "size": space_size(searched),
        "choices": [vars(choice) | {"options": list(choice.options)} for choice in searched.values()],
        "range": reach(CostTable(net, shape)),
    }


def reach(table: CostTable) -> dict[str, list[float]]:
    """Lowest and highest cost of the space, by cost."""
    return {cost: [table.exact(arch)[cost] for arch in table.extremes(cost)] for cost in table.costs}
