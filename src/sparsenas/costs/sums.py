"""All sums that some choices can reach, by dynamic programming over their distinct values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.choice import Choices, Picks
from sparsenas.costs.encoding import Encoding
from sparsenas.costs.model import AdditiveTerms

Integers = NDArray[np.int64]

MOST_PICKS = 5000
"""Choices with more legal picks than this are not listed."""
MOST_STATES = (2**16, 2**20)
"""With more sums than this a random part of them is kept; the second number is for the second attempt."""
MOST_ADDITIONS = 2**22
"""As many sums are kept as give this many additions of the next choice."""
GRID = 2.0**40
"""Costs that are no whole numbers are rounded to steps of their largest term divided by this."""
FAR = 2**60
"""Stands for no bound."""


@dataclass(frozen=True)
class Values:
    """The terms of several costs as whole numbers, and the bounds on their sums."""

    picks: Mapping[str, list[list[Picks]]]
    """The legal picks of each choice, those of equal cost together."""
    terms: Mapping[str, Integers]
    """For each choice an array of shape (groups of picks, costs)."""
    pairs: Mapping[tuple[str, str], Integers]
    """For each two choices that meet, in both orders, an array of shape (picks, picks, costs)."""
    low: Integers
    high: Integers

    def meets(self, name: str, others: Sequence[str]) -> bool:
        """Whether a cost has a term for this choice and one of the others."""
        return any((name, other) in self.pairs for other in others)

    def rest(self, done: Sequence[str], end: int) -> Integers:
        """The least (``end`` -1) or most (1) that the choices beside those ``done`` can add, or a bound on it."""
        total = sum((_end(v, end) for n, v in self.terms.items() if n not in done), np.zeros_like(self.low))
        left = [pair for pair in self.pairs if pair[0] < pair[1] and not (pair[0] in done and pair[1] in done)]
        return sum((_end(self.pairs[pair].reshape(-1, len(self.low)), end) for pair in left), total)


def _end(values: Integers, end: int) -> Integers:
    return np.asarray(values.min(axis=0) if end < 0 else values.max(axis=0))


def whole_numbers(
    encoding: Encoding, terms: Sequence[AdditiveTerms], bounds: Sequence[tuple[float, float]]
) -> Values | None:
    """The terms and the bounds in multiples of a unit per cost; ``None`` where a choice has too many legal picks.

    Bounds are widened by what rounding may add up to, so that no sum within them is lost.
    """
    choices = encoding.choices
    if any(choice.size > MOST_PICKS for choice in choices.values()):
        return None
    every = {name: list(choice.every()) for name, choice in choices.items()}
    units = [_unit(one) for one in terms]
    whole = [np.round(one.options / unit).astype(np.int64) for one, unit in zip(terms, units, strict=True)]
    sums = {n: np.array([[w[encoding.span(n)][list(p)].sum() for w in whole] for p in every[n]]) for n in choices}
    pairs: dict[tuple[str, str], Integers] = {}
    for a in choices:
        for b in choices:
            blocks = [
                _block(one, unit, encoding.span(a), encoding.span(b)) for one, unit in zip(terms, units, strict=True)
            ]
            if a != b and any(block.any() for block in blocks):
                pairs[a, b] = np.stack(blocks, axis=-1)
    grouped = {n: _grouped(every[n], sums[n], any(n in pair for pair in pairs)) for n in choices}
    ends = [_whole_bounds(*parts, len(choices)) for parts in zip(terms, units, bounds, strict=True)]
    lows, highs = (np.array(end, dtype=np.int64) for end in zip(*ends, strict=True))
    return Values({n: p for n, (p, _) in grouped.items()}, {n: v for n, (_, v) in grouped.items()}, pairs, lows, highs)


def _numbers(terms: AdditiveTerms) -> NDArray[np.float64]:
    return np.append(terms.options, [] if terms.pairs is None else terms.pairs)


def _is_whole(terms: AdditiveTerms) -> bool:
    return bool((_numbers(terms) == np.round(_numbers(terms))).all())


def _unit(terms: AdditiveTerms) -> float:
    sizes = np.abs(_numbers(terms))
    if _is_whole(terms):
        return float(np.gcd.reduce(sizes.astype(np.int64))) or 1.0
    return float(sizes.max()) / GRID


def _whole_bounds(terms: AdditiveTerms, unit: float, bounds: tuple[float, float], choices: int) -> tuple[int, int]:
    slack = 0 if _is_whole(terms) else choices**2
    low, high = ((end - terms.base) / unit for end in bounds)
    least = math.ceil(low - slack - abs(low) * 1e-12) if low > -FAR else -FAR
    return least, math.floor(high + slack + abs(high) * 1e-12) if high < FAR else FAR


def _block(terms: AdditiveTerms, unit: float, a: slice, b: slice) -> Integers:
    """What two choices cost together, whichever of them comes first."""
    if terms.pairs is None:
        return np.zeros((a.stop - a.start, b.stop - b.start), dtype=np.int64)
    return np.asarray(np.round((terms.pairs[a, b] + terms.pairs[b, a].T) / unit).astype(np.int64))


def _grouped(every: list[Picks], sums: Integers, apart: bool) -> tuple[list[list[Picks]], Integers]:
    """Picks of equal cost together, unless they have pair terms."""
    if apart:
        return [[picks] for picks in every], sums
    values, group = np.unique(sums, axis=0, return_inverse=True)
    found: list[list[Picks]] = [[] for _ in values]
    for picks, i in zip(every, group.ravel().tolist(), strict=True):
        found[i].append(picks)
    return found, values


class Step(NamedTuple):
    """The sums after one more choice. A state is a sum together with the picks that later terms depend on."""

    name: str
    front: tuple[str, ...]
    """The choices whose picks are part of a state."""
    picks: Integers
    """These picks, of shape (states, choices)."""
    sums: Integers
    """Of shape (states, costs)."""
    ways: NDArray[np.float64]
    """The number of ways to each state."""
    parents: Integers
    """The ways themselves, those to one state together: the state before,"""
    groups: Integers
    """and the group of picks that was added."""
    starts: Integers
    """Where the ways to each state begin; one number more than states."""


def reachable(values: Values, names: Sequence[str], most: int, rng: np.random.Generator) -> tuple[list[Step], bool]:
    """The sums over ``names``, in this order, that the other choices can bring within the bounds.

    Also says whether these are all; if not, they are a random part of at most ``most``.
    """
    costs, complete = len(values.low), True
    one = np.zeros(1, dtype=np.int64)
    start = Step("", (), np.zeros((1, 0), np.int64), np.zeros((1, costs), np.int64), np.ones(1), one[:0], one[:0], one)
    steps = [start]
    for i, name in enumerate(names):
        last, kept = _part(steps[-1], min(most, MOST_ADDITIONS // len(values.terms[name])), rng)
        steps[-1] = last
        complete &= kept
        steps.append(_add(values, last, name, names[: i + 1]))
    steps[-1], kept = _part(steps[-1], most, rng)
    return steps, complete and kept


def _part(step: Step, most: int, rng: np.random.Generator) -> tuple[Step, bool]:
    """At most ``most`` of the states; says whether these are all."""
    count = len(step.sums)
    if count <= most:
        return step, True
    kept = np.sort(rng.choice(count, most, replace=False))
    sizes = np.diff(step.starts)[kept]
    ways = np.repeat(step.starts[kept] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    starts = np.concatenate([[0], np.cumsum(sizes)])
    parts = step.picks[kept], step.sums[kept], step.ways[kept], step.parents[ways], step.groups[ways], starts
    return Step(step.name, step.front, *parts), False


def _add(values: Values, last: Step, name: str, done: Sequence[str]) -> Step:
    terms = values.terms[name]
    parents = np.repeat(np.arange(len(last.sums)), len(terms))
    groups = np.tile(np.arange(len(terms)), len(last.sums))
    sums = last.sums[parents] + terms[groups]
    for axis, other in enumerate(last.front):
        if (other, name) in values.pairs:
            sums += values.pairs[other, name][last.picks[parents, axis], groups]
    within = (sums + values.rest(done, -1) <= values.high) & (sums + values.rest(done, 1) >= values.low)
    kept = np.flatnonzero(within.all(axis=1))
    parents, groups, sums = parents[kept], groups[kept], sums[kept]
    later = [other for other in values.terms if other not in done]
    known = {other: last.picks[parents, axis] for axis, other in enumerate(last.front)} | {name: groups}
    front = tuple(other for other in known if values.meets(other, later))
    picks = np.stack([known[other] for other in front], axis=1) if front else np.zeros((len(sums), 0), np.int64)
    order, starts = _alike(np.concatenate([picks, sums], axis=1))
    parents, groups, first = parents[order], groups[order], order[starts]
    multiple = np.array([len(group) for group in values.picks[name]], dtype=float)[groups]
    ways = np.add.reduceat(last.ways[parents] * multiple, starts) if len(starts) else np.zeros(0)
    return Step(name, front, picks[first], sums[first], ways, parents, groups, np.append(starts, len(order)))


def _alike(rows: Integers) -> tuple[Integers, Integers]:
    """An order in which equal rows are neighbours, and where each new row begins in it.

    Rows are ordered by a hash. If two rows had one hash, a row might begin twice, which costs time only.
    """
    factors = np.random.default_rng(0).integers(2**62, size=rows.shape[1]) * 2 + 1
    order = np.argsort((rows * factors).sum(axis=1))
    rows = rows[order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return order, np.flatnonzero(new)


def random_way(values: Values, steps: Sequence[Step], state: int, rng: np.random.Generator) -> dict[str, Picks]:
    """Picks that lead to a state of the last step; every way is equally likely."""
    found: dict[str, Picks] = {}
    for before, step in zip(reversed(steps[:-1]), reversed(steps[1:]), strict=True):
        span = slice(step.starts[state], step.starts[state + 1])
        sizes = np.array([len(values.picks[step.name][group]) for group in step.groups[span]])
        weights = np.cumsum(before.ways[step.parents[span]] * sizes)
        way = span.start + int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
        group = values.picks[step.name][step.groups[way]]
        found[step.name] = group[int(rng.integers(len(group)))]
        state = int(step.parents[way])
    return found


def every_way(values: Values, steps: Sequence[Step], state: int) -> Iterator[dict[str, Picks]]:
    """All picks that lead to a state of the last step."""
    if len(steps) == 1:
        yield {}
        return
    step = steps[-1]
    for way in range(step.starts[state], step.starts[state + 1]):
        for found in every_way(values, steps[:-1], int(step.parents[way])):
            for picks in values.picks[step.name][step.groups[way]]:
                yield {**found, step.name: picks}


def halves(choices: Choices, values: Values) -> tuple[list[str], list[str]]:
    """The choices cut in two of about as many combinations each; the second half in reverse order."""
    names = list(choices)
    sizes = np.log([len(values.terms[name]) for name in names])
    cut = int(np.argmin([max(sizes[:i].sum(), sizes[i:].sum()) for i in range(len(names) + 1)]))
    return names[:cut], names[cut:][::-1]
