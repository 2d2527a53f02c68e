"""A training loop of one's own: a search method for a network, and one step of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import nn

from sparsenas.core.gate import Gates, choices, set_gates
from sparsenas.costs import Cost
from sparsenas.errors import UserError
from sparsenas.job.api.evolve import limits_of
from sparsenas.job.api.objects import plugin
from sparsenas.job.api.words import in_python
from sparsenas.methods import Method
from sparsenas.nn.tree import Tree


@in_python
def method(
    name: object,
    space: nn.Module,
    example: Tree,
    budget: str | Sequence[str] = (),
    *,
    cost: str | Cost | Sequence[str | Cost] = (),
    seed: int = 0,
    epochs: int = 60,
    **flags: Any,
) -> Method:
    """A search method for a network with choices, for a training loop of one's own.

    Args:
        name: the method: a name such as spos, or a class.
        space: the network with choices.
        example: a batch of inputs, or the shape of one input, by which costs are counted.
        budget: hard limits on costs, such as ``"flops<=330e6"``: one, or a list.
        cost: costs of your own that budgets may name: one, or a list.
        seed: seed of the method.
        epochs: epochs of the training; ``end_epoch`` must be called after each.
        flags: the flags of the method.

    Raises ``UserError`` for a budget that cannot be met, and for choices that the method cannot learn.
    """
    given = plugin("method", name)
    limits = limits_of(space, example, budget, cost)
    made = replace(given, flags={**given.flags, **flags})
    built = made.build("method", limits.choices, limits, seed, epochs=epochs)
    if not isinstance(built, Method):
        raise UserError(f"method: expected a sparsenas.Method, got {type(built).__name__}")
    return built


@contextmanager
def step(space: nn.Module, method: Method, learn: bool = True) -> Iterator[Gates]:
    """One step of a training loop of one's own: sets the gates of ``space`` that ``method`` proposes.

    Inside, run the network and call ``backward`` on the loss. On leaving, the method's own parameters take a step on
    the gradients that they got, if it has any; the optimizer of the weights is yours. With ``learn=False`` they do not:
    for methods that learn on validation examples, such as DARTS, take one step on validation examples, and one with
    ``learn=False`` on training examples.
    """
    if not isinstance(space, nn.Module) or not isinstance(method, Method) or not choices(space):
        got = ", ".join(type(one).__name__ for one in (space, method))
        raise UserError(f"step: expected a network with choices and a sparsenas.Method, got {got}")
    optimizer = method.own_optimizer
    if optimizer is not None:
        optimizer.zero_grad(set_to_none=True)
    gates = method.gates()
    set_gates(space, gates)
    yield gates
    if optimizer is None:
        return
    if learn:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
