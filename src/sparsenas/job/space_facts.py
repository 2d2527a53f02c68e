"""What is known of a space before anything trains."""

from __future__ import annotations

from typing import Any

from sparsenas.core.arch import space_size
from sparsenas.core.gate import choices
from sparsenas.costs import CostTable, Shape
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin


def input_shape(space: Plugin) -> Shape:
    """The image shape a space is counted at: its flag, or the default of its parameter."""
    import inspect

    parameters = inspect.signature(space.callable("space")).parameters
    shape = space.flags.get("shape") or (parameters["shape"].default if "shape" in parameters else None)
    if shape is None:
        raise UserError(
            f"--space {space.name}: expected --space.shape CHANNELS,HEIGHT,WIDTH, since it has no shape of its own"
        )
    return tuple(shape)


def describe(space: Plugin) -> dict[str, Any]:
    """One space: its questions, how many architectures they span, and the range of each cost."""
    net, shape = space.build("space"), input_shape(space)
    questions = choices(net)
    return {
        "name": space.name,
        "shape": list(shape),
        "size": space_size(questions),
        "choices": [vars(choice) | {"options": list(choice.options)} for choice in questions.values()],
        "range": reach(CostTable(net, shape)),
    }


def reach(table: CostTable) -> dict[str, list[float]]:
    """Lowest and highest cost of the space, by cost."""
    return {cost: [table.exact(arch)[cost] for arch in table.extremes(cost)] for cost in table.costs}
