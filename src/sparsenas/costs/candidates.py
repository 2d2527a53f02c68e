"""What the candidates of joins cost, each traced alone: a good guess at the costs of a space of cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsenas.core.gate import Gated, Gates, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs.layer import Cost, Shape, total
from sparsenas.costs.trace import trace_through

Matrix = NDArray[np.float64]


def candidate_costs(net: nn.Module, shape: Shape, costs: Mapping[str, Cost], gates: Gates) -> dict[str, Matrix] | None:
    """The costs of every option of every choice (options, costs), added up over all joins that ask it.

    The inputs of a join are taken to have the shapes they have under ``gates``. ``None`` where a choice is asked by
    something else than a join, or inside a candidate. ``net`` is one that ``on_meta`` returns.
    """
    questions = choices(net)
    joins = [module for module in net.modules() if isinstance(module, Gated)]
    if not all(isinstance(join, Join) and not choices(join.ops) for join in joins):
        return None
    seen = _input_shapes(net, shape, gates)
    known: dict[tuple[str, Shape], Matrix] = {}
    found = {name: np.zeros((len(choice.options), len(costs))) for name, choice in questions.items()}
    for join, inputs in seen.items():
        for i, (op, source) in enumerate(zip(join.ops, join.sources, strict=True)):
            key = repr(op), inputs[source]
            if key not in known:
                layers, _ = trace_through(op, inputs[source])
                known[key] = np.array([float(total(cost, layers)) for cost in costs.values()])
            found[join.choice.name][i] += known[key]
    return found


def _input_shapes(net: nn.Module, shape: Shape, gates: Gates) -> dict[Join, list[Shape]]:
    """The shapes of the inputs of every join that runs; of inputs that nothing feeds, none."""
    seen: dict[Join, list[Shape]] = {}

    def note(join: nn.Module, inputs: tuple[Tensor | None, ...]) -> None:
        assert isinstance(join, Join)
        seen[join] = [() if x is None else tuple(x.shape) for x in inputs]

    hooks = [m.register_forward_pre_hook(note) for m in net.modules() if isinstance(m, Join)]
    set_gates(net, gates)
    try:
        with torch.no_grad():
            net.eval()(torch.empty((1, *shape), device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return seen
