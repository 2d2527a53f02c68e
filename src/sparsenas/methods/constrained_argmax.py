"""From how strong every option is to the strongest architecture within the budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Picks
from sparsenas.costs import Limits
from sparsenas.errors import UserError

Strengths = Mapping[str, NDArray[np.float64]]
"""How strong each option of each choice is; the sign does not matter."""
Groups = Mapping[str, Sequence[int]]
"""Of each option of a choice a group, of which no two options are kept; choices without an entry have no such rule."""
STARTS = 8
"""Random legal architectures that are improved where the strongest is not found at once."""


def best_arch_within_budget(
    limits: Limits, strengths: Strengths, known: Arch | None = None, groups: Groups | None = None
) -> Arch:
    """The legal architecture of the largest sum of magnitudes that keeps no two options of one group.

    Exact where the costs add up, by integer programming; else the best of some legal architectures, one of them
    ``known``, each improved one choice at a time. Raises ``UserError`` when none is found within groups and budgets.
    """
    groups = groups or {}
    tops = {name: topk_picks(c, strengths[name], groups.get(name)) for name, c in limits.choices.items()}
    arch = Arch(limits.choices, tops)
    if limits.legal([arch])[0]:
        return arch
    solved = _solved(limits, strengths, groups)
    if solved is not None and limits.legal([solved])[0]:
        return solved
    rng = np.random.default_rng(0)
    drawn = [known, *(limits.draw(rng, lambda a: _apart(a, groups)) for _ in range(STARTS))]
    starts = [start for start in drawn if start is not None]
    if not starts:
        raise UserError("--budget: no architecture was found that keeps the budgets and no two options of one group")
    return max((_improved(limits, strengths, start, groups) for start in starts), key=lambda a: _strength(a, strengths))


def topk_picks(choice: Choice, strengths: NDArray[np.float64], groups: Sequence[int] | None) -> Picks:
    """As ``Choice.strongest``, no two options being of one group: in turn the strongest that is left (a matroid)."""
    if groups is None:
        return choice.strongest(strengths.tolist())
    best = {groups[i]: int(i) for i in np.argsort(np.abs(strengths), kind="stable")}
    alone = np.zeros_like(strengths)
    alone[list(best.values())] = 1 + np.abs(strengths[list(best.values())])
    return tuple(sorted(choice.strongest(alone.tolist())[: choice.most]))


def _apart(arch: Arch, groups: Groups) -> bool:
    return all(len({groups[name][pick] for pick in arch[name]}) == len(arch[name]) for name in groups)


def _strength(arch: Arch, strengths: Strengths) -> float:
    return float(sum(np.abs(strengths[name])[list(picks)].sum() for name, picks in arch.items()))


def _solved(limits: Limits, strengths: Strengths, groups: Groups) -> Arch | None:
    """The optimum by integer programming; ``None`` where a cost is no sum over options."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    table, columns = limits.table, [list(limits.table.costs).index(budget.cost) for budget in limits.budgets]
    if not table.additive[columns].all() or table.pairs[columns].any():
        return None
    value = np.concatenate([np.abs(strengths[name]) for name in limits.choices])
    owner = np.repeat(np.arange(len(limits.choices)), [len(choice.options) for choice in limits.choices.values()])
    kept = (owner == np.arange(len(limits.choices))[:, None]).astype(float)
    counts = [(choice.least, choice.most) for choice in limits.choices.values()]
    rules = [LinearConstraint(kept, *np.array(counts, dtype=float).T)]
    rules += [LinearConstraint(row, 0, 1) for row in _rows(limits, groups)]
    for budget, column in zip(limits.budgets, columns, strict=True):
        unit = max(float(np.abs(table.linear[:, column]).max()), 1e-9)  # the solver's tolerances are absolute
        bounds = ((end - table.base[column]) / unit for end in (budget.at_least, budget.at_most))
        rules.append(LinearConstraint(table.linear[:, column] / unit, *bounds))
    scale = max(float(value.max()), 1e-300)
    found = milp(-value / scale, integrality=np.ones(len(value)), bounds=Bounds(0, 1), constraints=rules)
    return None if found.x is None else table.decode(np.round(found.x))


def _rows(limits: Limits, groups: Groups) -> list[NDArray[np.float64]]:
    """For every group the options that are in it."""
    columns = limits.table.columns
    rows = []
    for name, of in groups.items():
        for group in sorted(set(of)):
            row = np.zeros(limits.table.options)
            row[[columns[name] + i for i, g in enumerate(of) if g == group]] = 1
            rows.append(row)
    return rows


def _improved(limits: Limits, strengths: Strengths, arch: Arch, groups: Groups) -> Arch:
    """``arch`` after the best legal change of one choice, again and again until none is stronger."""
    while True:
        moves = [arch.replace({n: p}) for n, c in limits.choices.items() for p in c.neighbours(arch[n])]
        moves = [move for move in moves if _apart(move, groups)]
        legal = limits.legal(moves)
        best = max(
            (m for m, ok in zip(moves, legal, strict=True) if ok), key=lambda a: _strength(a, strengths), default=arch
        )
        if _strength(best, strengths) <= _strength(arch, strengths):
            return arch
        arch = best
