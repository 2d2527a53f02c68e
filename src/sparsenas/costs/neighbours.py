"""Strategy: the terms of an additive model, from the costs of the neighbours of one architecture."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Choices, Picks
from sparsenas.core.derive import Derivable
from sparsenas.core.gate import Gated
from sparsenas.costs.additive import AdditiveCosts
from sparsenas.costs.model import CostModel
from sparsenas.costs.segments import SegmentCosts
from sparsenas.costs.space import TracedSpace
from sparsenas.costs.traced import TracedCosts
from sparsenas.errors import UserError

Matrix = NDArray[np.float64]
OneCost = Callable[[Arch], Matrix]
"""Every cost of one architecture."""

MOST_PAIRS = 4000
"""With more pair terms than this, filling the model takes longer than it saves."""
FEW_PAIRS = 300
"""Up to this many, pair terms are looked for even where the random architectures show none."""


def neighbour_differences(space: TracedSpace, exact: CostModel) -> CostModel | None:
    """The model whose terms are differences to the fullest architecture; ``None`` where no cost adds up."""
    cost_of = _fast(space, exact)
    model = _linear(space, exact, cost_of)
    if model is None:
        return None
    meeting = _meeting(space.net, space.choices)
    sizes = {name: len(choice.options) - 1 for name, choice in space.choices.items()}
    needed = sum(sizes[a] * sizes[b] for a, b in meeting)
    if needed > MOST_PAIRS or (needed > FEW_PAIRS and space.agreement(model, exact).all()):
        return model
    return AdditiveCosts(space.encoding, model.base, model.linear, _pairs(space, model, meeting, cost_of), meeting)


def _fast(space: TracedSpace, exact: CostModel) -> OneCost:
    """The fastest way to the costs of one architecture: not by a trace of the whole network, where there is another.

    A sequence of segments is costed segment by segment, where that gives the costs of the whole: it does not where
    segments hand on more than a tensor.
    """
    if not isinstance(exact, TracedCosts):
        return lambda arch: exact(space.encoding.encode([arch]))[0]
    segments = SegmentCosts(space.net, space.shape, space.costs)
    try:
        if space.close(segments(space.fullest), space.trace(space.fullest)).all():
            return lambda arch: space.note(segments(arch))
    except UserError:
        pass
    return space.trace


def _linear(space: TracedSpace, exact: CostModel, cost_of: OneCost) -> AdditiveCosts | None:
    """The model without pair terms; ``None`` as soon as no cost adds up over the choices seen so far.

    In large cells, where the model would take many traces, that shows at the first nodes.
    """
    base, linear = space.trace(space.fullest), np.zeros((space.encoding.width, len(space.costs)))
    adds_up = np.ones(len(space.costs), dtype=bool)
    at_fullest = cost_of(space.fullest)
    for name, choice in space.choices.items():
        kept, first = space.fullest[name], space.encoding.columns[name]
        for option, picks, sign, relative in _steps(choice, kept):
            change = cost_of(space.fullest.replace({name: picks})) - at_fullest
            linear[first + option] = sign * change + (0 if relative is None else linear[first + relative])
        base = base - linear[[first + pick for pick in kept]].sum(axis=0)
        if not choice.single:
            row = space.encoding.encode([space.fullest.replace({name: choice.first()})])
            adds_up &= space.agreement(AdditiveCosts(space.encoding, base, linear), exact, row)
        if not adds_up.all() and not (adds_up & (space.largest > 0)).any():  # a cost that is always 0 is no success
            return None
    return AdditiveCosts(space.encoding, base, linear)


def _pairs(
    space: TracedSpace, model: AdditiveCosts, meeting: list[tuple[str, str]], cost_of: OneCost
) -> dict[int, Matrix]:
    """Q from double neighbours of the fullest architecture, which picks option 0 of every one-of-n choice."""
    pairs = np.zeros((len(space.costs), space.encoding.width, space.encoding.width))
    columns = space.encoding.columns
    for a, b in meeting:
        for i, j in itertools.product(*(range(1, len(space.choices[name].options)) for name in (a, b))):
            arch = space.fullest.replace({a: (i,), b: (j,)})
            alone = model.base + space.encoding.encode([arch])[0] @ model.linear
            pairs[:, columns[a] + i, columns[b] + j] = cost_of(arch) - alone
    return {cost: terms for cost, terms in enumerate(pairs) if terms.any()}


def _steps(choice: Choice, kept: Picks) -> list[tuple[int, Picks, int, int | None]]:
    """For each option legal picks that differ from ``kept`` by it: option, picks, sign of c, and whose c to add.

    cost(picks) - cost(kept) = sign * (c[option] - c[relative]); options come after those they are relative to.
    Where all picks are equally many only differences count: then c of the first option kept is 0.
    """
    first, outside = kept[0], [option for option in range(len(choice.options)) if option not in kept]
    found: list[tuple[int, Picks, int, int | None]] = []
    if len(kept) > choice.least:
        found += [(option, tuple(pick for pick in kept if pick != option), -1, None) for option in kept]
    found += [(option, tuple(sorted((*kept[1:], option))), 1, first) for option in outside]
    if len(kept) == choice.least and outside:
        swapped = outside[0]
        found += [(o, tuple(sorted((*(p for p in kept if p != o), swapped))), -1, swapped) for o in kept[1:]]
    return found


def _meeting(net: nn.Module, choices: Choices) -> list[tuple[str, str]]:
    """Pairs of one-of-n choices that occur in or below one mechanism, in the order of ``choices``."""
    order = {name: i for i, (name, choice) in enumerate(choices.items()) if choice.single}
    pairs: set[tuple[str, str]] = set()
    for module in net.modules():
        if isinstance(module, Derivable):
            names = {m.choice.name for m in module.modules() if isinstance(m, Gated)} & order.keys()
            pairs.update(itertools.combinations(sorted(names, key=order.__getitem__), 2))
    return sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]]))
