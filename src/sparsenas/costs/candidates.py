"""Strategy: each candidate of a join is traced alone. Exact for cells whose nodes keep a fixed number of candidates."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsenas.core.gate import Gated, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs.additive import AdditiveCosts
from sparsenas.costs.layer import Shape, totals
from sparsenas.costs.model import CostModel
from sparsenas.costs.space import TracedSpace
from sparsenas.costs.trace import batch_of_one, example_input, trace_through
from sparsenas.nn.tree import call

Matrix = NDArray[np.float64]


def candidate_sums(space: TracedSpace, exact: CostModel) -> CostModel | None:
    """The cost of an architecture as the sum over its candidates, each traced alone.

    ``None`` where other strategies are as fast (one-of-n choices), where the number of picks varies, so that nodes
    may die, and where a choice is not that of a join or stands inside a candidate.
    """
    bounds = {(choice.least, choice.most) for choice in space.choices.values()}
    if bounds <= {(1, 1)} or any(least < most for least, most in bounds):
        return None
    gated = [module for module in space.net.modules() if isinstance(module, Gated)]
    if not all(isinstance(join, Join) and not choices(join.ops) for join in gated):
        return None
    linear = _option_costs(space)
    base = space.trace(space.fullest) - space.encoding.encode([space.fullest])[0] @ linear
    return AdditiveCosts(space.encoding, base, linear)


def _option_costs(space: TracedSpace) -> Matrix:
    """The costs of every option, of shape (options, costs), summed over all joins that share its choice.

    The inputs of a join are taken to have the shapes that they have in the fullest architecture.
    """
    known: dict[tuple[str, Shape], Matrix] = {}
    found = np.zeros((space.encoding.width, len(space.costs)))
    for join, inputs in _input_shapes(space).items():
        first = space.encoding.columns[join.choice.name]
        for i, (op, source) in enumerate(zip(join.ops, join.sources, strict=True)):
            key = repr(op), inputs[source]
            if key not in known:
                layers, _ = trace_through(op, inputs[source])
                known[key] = totals(space.costs, layers)
            found[first + i] += known[key]
    return found


def _input_shapes(space: TracedSpace) -> dict[Join, list[Shape]]:
    """The shapes of the inputs of every join that runs; an empty shape for an input that nothing feeds."""
    shapes: dict[Join, list[Shape]] = {}

    def note(join: nn.Module, inputs: tuple[Tensor | None, ...]) -> None:
        assert isinstance(join, Join)
        shapes[join] = [() if x is None else tuple(x.shape) for x in inputs]

    hooks = [m.register_forward_pre_hook(note) for m in space.net.modules() if isinstance(m, Join)]
    set_gates(space.net, space.fullest.gates())
    try:
        with torch.no_grad():
            call(space.net.eval(), example_input(space.net, batch_of_one(space.shape)))
    finally:
        for hook in hooks:
            hook.remove()
    return shapes
