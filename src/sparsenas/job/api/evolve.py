"""``sparsenas.evolve``: a supernet searched again, or any supernet by a score of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices
from sparsenas.costs import COSTS, Cost, CostTable, Limits
from sparsenas.costs.budget import read_bounds
from sparsenas.costs.ends import budgets_at
from sparsenas.errors import UserError
from sparsenas.job.api.found import Found
from sparsenas.job.api.functions import Folder, evolve_run
from sparsenas.job.api.objects import plugin
from sparsenas.job.api.words import in_python
from sparsenas.job.limits import cost_list, more_costs
from sparsenas.job.lookup import AGAIN
from sparsenas.job.space_facts import example_shape
from sparsenas.job.stages.candidates import architectures
from sparsenas.methods import Method
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.recalibration import recalibrate
from sparsenas.nn.tree import Tree
from sparsenas.searching.evolution import Score, Search

ScoreFunction = Callable[[nn.Module], float]
"""A user's score of a plain network in eval mode; more is better."""


@dataclass(frozen=True)
class Evolved:
    """The best architecture of a supernet by a user's score."""

    arch: Arch
    costs: Mapping[str, float]
    """Its exact costs by name."""
    score: float
    scores: Mapping[Arch, float] = field(repr=False)
    """The scores of all architectures that were tried, in order."""
    _net: nn.Module = field(repr=False)
    _inputs: Sequence[Tree] = field(repr=False)

    def network(self) -> nn.Module:
        """The plain network with inherited weights, recalibrated, in eval mode."""
        return _plain(self._net, self.arch, self._inputs)


@in_python
def evolve(
    supernet: Folder | nn.Module,
    budget: str | Sequence[str] = (),
    *,
    score: ScoreFunction | Mapping[str, Any] | None = None,
    calibrate: Iterable[Any] = (),
    example: Tree | None = None,
    cost: str | Cost | Sequence[str | Cost] = (),
    method: object = None,
    seed: int = 0,
    out: str | Path = "runs/evolved",
    **flags: Any,
) -> Found | Evolved:
    """Searches a trained supernet under a budget.

    Args:
        supernet: what ``sparsenas.search`` returned, or a run folder: searched as ``sparsenas evolve`` does. Or a
            network with choices and trained weights, which needs ``score``.
        budget: hard limits on costs, such as ``"flops<=330e6"``: one, or a list.
        score: a function from a plain network in eval mode to a number; more is better. The network is a
            copy. For a run folder, how scores are compared where it is not as in the run, such as ``{"prior": 3}``.
        calibrate: batches on which batch norm is recalibrated for every candidate: inputs, or pairs (inputs, targets)
            as a ``DataLoader`` has them. Without any the statistics of the supernet are used.
        example: a batch of inputs by which costs are counted; by default the first batch of ``calibrate``.
        cost: costs that budgets may name beside the built-in ones, one or a list: functions of a layer, or of a list
            called ``layers``.
        method: how candidates are proposed; a method that searches a supernet, such as ``{"name": "spos",
            "generations": 10}``. By default that of the run where it searches supernets, else ``"spos"``.
        seed: seed of the candidates.
        out: the new run folder, where a run folder is searched.
        flags: for a run folder, any other flag of ``sparsenas evolve``.

    Returns a ``Found`` for a run folder, else an ``Evolved``. Raises ``UserError``.
    """
    if not isinstance(supernet, nn.Module):
        if callable(score):
            raise UserError(
                "score: expected no function for a run folder; give the network itself to score it yourself"
            )
        return evolve_run(supernet, method=method, budget=budget, score=score, out=out, cost=cost_list(cost), **flags)
    if not callable(score) or flags:
        extra = f"; there is no flag {next(iter(flags))}" if flags else ""
        raise UserError(f"score: expected a function from a network to a number, to score candidates{extra}")
    if not isinstance(calibrate, Iterable):
        raise UserError(f"calibrate: expected batches, got {type(calibrate).__name__}")
    batches = [_inputs(batch) for batch in calibrate]
    limits = limits_of(supernet, batches[0] if example is None and batches else example, budget, cost)
    made: Method = plugin("method", method or AGAIN).build("method", limits.choices, limits, seed)
    rng = np.random.default_rng([seed, 2])
    search = made.search(architectures(limits), rng)
    if search is None:
        raise UserError("method: expected a method that searches a supernet, as spos does")
    return _searched(supernet, limits, search, score, batches)


def limits_of(
    space: nn.Module,
    example: Tree | None,
    budget: str | Sequence[str],
    cost: str | Cost | Sequence[str | Cost] = (),
) -> Limits:
    """Budgets over the costs of a network with choices.

    ``example`` is a batch of inputs, or the shape of one input; ``cost`` are costs of one's own. Raises ``UserError``.
    """
    if example is None:
        raise UserError("example: expected a batch of inputs, or the shape of one input, by which costs are counted")
    if not isinstance(space, nn.Module):
        raise UserError(f"expected a network with choices, got {type(space).__name__}")
    if not choices(space):
        raise UserError("expected a network with at least one choice, found none")
    texts = [budget] if isinstance(budget, str) else budget
    costs = {**COSTS, **more_costs(cost, texts)}
    bounds = read_bounds(texts, costs)
    table = CostTable(deep_copy(space), example_shape(example), costs)
    return Limits(table, budgets_at(table, bounds))


def _inputs(batch: Any) -> Tree:
    return batch[0] if isinstance(batch, tuple | list) and len(batch) == 2 else batch


def _searched(net: nn.Module, limits: Limits, search: Search, score: ScoreFunction, batches: Sequence[Tree]) -> Evolved:
    scores: dict[Arch, float] = {}
    while archs := search.ask():
        for arch in archs:
            scores[arch] = _number(score(_plain(net, arch, batches)), arch)
        search.tell(archs, [Score(scores[arch]) for arch in archs])
    best = search.best
    return Evolved(best, limits.table.exact(best), scores[best], scores, net, batches)


def _plain(net: nn.Module, arch: Arch, batches: Sequence[Tree]) -> nn.Module:
    plain = derive(net, arch.gates())
    if batches:
        recalibrate(plain, batches)
    return plain.eval()


def _number(value: Any, arch: Arch) -> float:
    try:
        number = float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"score: expected a number for {arch.text()}, got {value!r}") from error
    if math.isnan(number):
        raise UserError(f"score: expected a number for {arch.text()}, got nan")
    return number
