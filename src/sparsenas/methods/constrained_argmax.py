"""From the strength of every option to the strongest architecture within the budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Picks
from sparsenas.costs import Limits
from sparsenas.costs.local_search import local_search, neighbours
from sparsenas.errors import UserError

Strengths = Mapping[str, NDArray[np.float64]]
"""The strength of each option of each choice; the sign does not matter."""
Groups = Mapping[str, Sequence[int]]
"""For each option of a choice its group. At most one option of a group is kept; choices without an entry are free."""
STARTS = 8
"""The number of random legal architectures that are improved where the strongest is not found at once."""


def best_arch_within_budget(
    limits: Limits, strengths: Strengths, known: Arch | None = None, groups: Groups | None = None
) -> Arch:
    """The legal architecture of the largest sum of magnitudes that keeps no two options of one group.

    Exact where the costs add up, by integer programming. Else the best of some legal architectures, one of them
    ``known``, each improved by local search. Raises ``UserError`` when none is found within groups and budgets.
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
    """As ``Choice.strongest``, with at most one option of each group.

    Takes the strongest option that is left, in turn; that is optimal, since such sets of options form a matroid.
    """
    if groups is None:
        return choice.strongest(strengths.tolist())
    best = {groups[i]: int(i) for i in np.argsort(np.abs(strengths), kind="stable")}
    alone = np.zeros_like(strengths)
    alone[list(best.values())] = 1 + np.abs(strengths[list(best.values())])
    return tuple(sorted(choice.strongest(alone.tolist())[: choice.most]))


def sources(choice: Choice) -> tuple[int, ...]:
    """The source of each option, from labels such as 1:skip_connect. Raises ``UserError`` for other labels."""
    found = tuple(option.partition(":")[0] for option in choice.options)
    if not all(":" in option and source.isdigit() for option, source in zip(choice.options, found, strict=True)):
        raise UserError(
            f"--method.distinct_sources: expected options such as 1:skip_connect, choice {choice.name!r} has "
            f"{choice.options[0]!r}"
        )
    if len(set(found)) < choice.most:
        raise UserError(f"--method.distinct_sources: choice {choice.name!r} keeps more options than it has sources")
    return tuple(map(int, found))


def _apart(arch: Arch, groups: Groups) -> bool:
    return all(len({groups[name][pick] for pick in arch[name]}) == len(arch[name]) for name in groups)


def _strength(arch: Arch, strengths: Strengths) -> float:
    return float(sum(np.abs(strengths[name])[list(picks)].sum() for name, picks in arch.items()))


def _solved(limits: Limits, strengths: Strengths, groups: Groups) -> Arch | None:
    """The optimum by integer programming; ``None`` where a cost is no sum over options."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    choices = limits.choices
    value = np.concatenate([np.abs(strengths[name]) for name in choices])
    owner = np.repeat(np.arange(len(choices)), [len(choice.options) for choice in choices.values()])
    kept = (owner == np.arange(len(choices))[:, None]).astype(float)
    counts = [(choice.least, choice.most) for choice in choices.values()]
    rules = [LinearConstraint(kept, *np.array(counts, dtype=float).T)]
    rules += [LinearConstraint(row, 0, 1) for row in _rows(limits, groups)]
    for budget in limits.budgets:
        terms = limits.table.linear_terms(budget.cost)
        if terms is None:
            return None
        unit = max(float(np.abs(terms.options).max()), 1e-9)  # the solver's tolerances are absolute
        bounds = ((end - terms.base) / unit for end in (budget.at_least, budget.at_most))
        rules.append(LinearConstraint(terms.options / unit, *bounds))
    scale = max(float(value.max()), 1e-300)
    found = milp(-value / scale, integrality=np.ones(len(value)), bounds=Bounds(0, 1), constraints=rules)
    return None if found.x is None else limits.table.encoding.decode(np.round(found.x))


def _rows(limits: Limits, groups: Groups) -> list[NDArray[np.float64]]:
    """For every group the options that are in it, encoded."""
    encoding = limits.table.encoding
    rows = []
    for name, of in groups.items():
        for group in sorted(set(of)):
            row = np.zeros(encoding.width)
            row[[encoding.columns[name] + i for i, g in enumerate(of) if g == group]] = 1
            rows.append(row)
    return rows


def _improved(limits: Limits, strengths: Strengths, arch: Arch, groups: Groups) -> Arch:
    """``arch`` after the best legal change of one choice, again and again until none is stronger."""

    def apart(arch: Arch) -> list[Arch]:
        return [move for move in neighbours(arch) if _apart(move, groups)]

    def weakness(archs: Sequence[Arch]) -> list[float]:
        return [-_strength(a, strengths) if ok else math.inf for a, ok in zip(archs, limits.legal(archs), strict=True)]

    return local_search(arch, -_strength(arch, strengths), [apart], weakness)[0]
