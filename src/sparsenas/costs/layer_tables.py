"""Strategy: each layer's costs in a table over the few choices that decide them. Exact where it applies.

Some architectures are traced. From these it is found which choices decide whether a layer runs, and which decide each
of its numbers. The layer's costs are then counted for all combinations of just those choices.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import nn

from sparsenas.core.choice import Picks
from sparsenas.core.dag import Dag
from sparsenas.core.derive import Replacements
from sparsenas.core.gate import Gated
from sparsenas.core.join import Join
from sparsenas.costs.factor import Factor
from sparsenas.costs.factors import FactorCosts, setting
from sparsenas.costs.layer_numbers import Numbers, Terms
from sparsenas.costs.observed import LayerKey, Row, Seen, columns, observe
from sparsenas.costs.space import TracedSpace
from sparsenas.costs.tabulate import Conditions, NotFound, Tabulator
from sparsenas.errors import UserError

TRACES = 24
"""So many architectures are traced, or three for each option of the largest choice.

Where it stays unclear what decides a number, there are twice as many, and then four times. In the last ones no option
is rare, which tells apart the pairs of choices that decide a number together.
"""


def layer_tables(space: TracedSpace) -> FactorCosts | None:
    """The costs of a space by its layers, checked on random architectures.

    ``None`` where a choice of a join keeps several options or stands in a ``Dag``, where layers take turns with
    parameters, and where what decides a layer is not found.
    """
    where = _conditions(space.net)
    joins = {module.choice.name for module in space.net.modules() if isinstance(module, Join)}
    others = {m.choice.name for m in space.net.modules() if isinstance(m, Gated) and not isinstance(m, Join)}
    if where is None or joins & others or not all(space.choices[name].single for name in joins):
        return None
    try:
        model = FactorCosts(space.encoding, _factors(space, where, [n for n in space.choices if n in others]))
    except (UserError, NotFound):  # options that do not fit side by side; layers that a latency table lacks
        return None
    archs = [space.fullest, *map(space.encoding.decode, space.samples)]
    traced = np.stack([space.trace(arch) for arch in archs])
    return model if space.close(model(space.encoding.encode(archs)), traced).all() else None


def _conditions(net: nn.Module) -> dict[nn.Module, Conditions] | None:
    """When each module runs; ``None`` where it may run in several places or shares parameters with another."""
    found: dict[nn.Module, Conditions] = {}
    owners: dict[nn.Parameter, Conditions] = {}

    def walk(module: nn.Module, conditions: Conditions) -> bool:
        if found.setdefault(module, conditions) != conditions and not isinstance(module, Gated):
            return False
        if isinstance(module, Dag) and any(isinstance(part, Gated) for part in module.modules()):
            return False
        if any(owners.setdefault(p, conditions) != conditions for p in module.parameters(recurse=False)):
            return False
        if isinstance(module, Join):
            options = enumerate(module.ops)
            return all(walk(op, (*conditions, (module.choice.name, option))) for option, op in options)
        return all(walk(child, conditions) for child in module.children())

    return found if walk(net, ()) else None


def _factors(space: TracedSpace, where: Mapping[nn.Module, Conditions], names: Sequence[str]) -> list[Factor]:
    """A table for every layer, or several. Raises ``NotFound``."""
    rng, picks, seen = np.random.default_rng(space.seed), list[Mapping[str, Picks]](), dict[LayerKey, dict[int, Row]]()
    most = max((len(space.choices[name].options) for name in names if space.choices[name].single), default=0)
    first, derived = max(TRACES, 3 * most) if names else 1, Replacements()
    for count in (first, 2 * first, 4 * first):
        fresh = list(itertools.islice(_designs(space, names, rng, count > 2 * first), count - len(picks)))
        for i, chosen in enumerate(fresh, len(picks)):
            observe(space, chosen, i, seen, derived)
        picks += fresh
        chosen_at = {n: np.array([setting(space.choices[n], p[n]) for p in picks]) for n in names}
        numbers = Numbers({n: space.choices[n] for n in names}, chosen_at, count)
        solved = _solve(numbers, seen, count)
        if len(solved) == len(seen):
            tables = Tabulator(space)
            parts = (tables.of(key, where[key.origin.module], terms) for key, terms in solved.items())
            return list(itertools.chain.from_iterable(parts))
        if not numbers.unclear:
            break
    raise NotFound


def _designs(
    space: TracedSpace, names: Sequence[str], rng: np.random.Generator, even: bool
) -> Iterator[dict[str, Picks]]:
    """Random picks without end, in which every option of a choice comes equally often.

    Unless ``even``, the first of two options comes three times as often: the other one often skips what it runs.
    """
    waiting: dict[str, list[int]] = {name: [] for name in names}
    while True:
        picks: dict[str, Picks] = {}
        for name in names:
            choice = space.choices[name]
            options = range(len(choice.options)) if even or len(choice.options) != 2 else (0, 0, 0, 1)
            waiting[name] = waiting[name] or rng.permutation(options).tolist()
            size = 1 if choice.single else int(rng.integers(choice.least, choice.most + 1))
            more = [o for o in rng.permutation(len(choice.options)).tolist() if o != waiting[name][0]]
            picks[name] = tuple(sorted([waiting[name].pop(0), *more][:size]))
        yield picks


def _solve(numbers: Numbers, seen: Seen, count: int) -> dict[LayerKey, list[Terms]]:
    """What decides whether a layer runs, and each of its numbers, for all layers for which it is found."""
    always, solved, before = np.ones(count, dtype=bool), dict[LayerKey, list[Terms]](), -1
    while before < len(solved) < len(seen):  # a sum may be found once its parts are
        before = len(solved)
        for key in [key for key in seen if key not in solved]:
            values, runs = columns(seen[key], count)
            found = [numbers.find(runs.astype(np.int64), always), *(numbers.find(column, runs) for column in values.T)]
            known = [one.terms for one in found if one is not None]
            if len(known) == len(found):
                solved[key] = known
    return solved
