"""Architectures drawn uniformly from those whose cost, a sum of tables, is within bounds."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.costs.factor import Factor, spread

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVELS = 4096
"""The cost is rounded to so many levels at most,"""
FEWEST_LEVELS = 256
"""and at least; otherwise there are too many states."""
SAFE = 1 - 1e-12
"""A little less than 1, so that no rounding loses a level."""
MOST_NUMBERS = 2**23
"""The most numbers of ways that are kept."""


class _Step(NamedTuple):
    """One choice, after those before it. A state is the picks of these that later tables depend on."""

    options: int
    levels: list[int]
    """What each option costs after each state, in levels."""
    states: list[int]
    """The state that follows."""
    ways: Matrix
    """For each state that follows and each number of levels left, the ways to pick the options of later choices."""


class BudgetSampler:
    """Picks the choices one after another, each option as often as there are ways to go on from it.

    The ways are counted backwards, with the entries of all tables rounded down to levels. So no architecture within the
    bounds is missing, and all are equally likely; some that exceed them by no more than rounding are drawn as well.
    """

    def __init__(self, choices: Choices, tables: Sequence[Factor], low: float, high: float) -> None:
        """``tables`` are over one-of-n choices."""
        self._choices = choices
        least = [table.values.min() for table in tables]
        lows = [Factor(table.names, table.values - low_end) for table, low_end in zip(tables, least, strict=True)]
        most = sum(table.values.max() for table in lows)
        low, high = low - sum(least), min((high - sum(least)) / SAFE, most)
        fronts = _fronts(choices, tables)
        sizes = [math.prod(len(choices[name].options) for name in front) for front in fronts]
        fitting = MOST_NUMBERS // sum(sizes)
        self.fits = fitting >= FEWEST_LEVELS
        """Whether there are few enough states."""
        self._levels = min(LEVELS, fitting) - 1
        unit = (high or 1.0) / max(1, self._levels)
        self._steps: list[_Step] = []
        self._start = np.zeros((1, self._levels + 1))
        if self.fits and high >= 0:
            far = self._levels + 1.0
            rounded = [Factor(t.names, np.where(t.values > high, far, np.floor(t.values / unit * SAFE))) for t in lows]
            allowed = self._levels - math.floor(max(low, 0) / unit * SAFE) + len(tables) + 1
            self._count(fronts, rounded, allowed)

    @property
    def size(self) -> float:
        """The number of architectures, those that exceed the bounds by rounding included."""
        return float(self._start[0, -1])

    def draw(self, rng: np.random.Generator) -> Arch:
        """One of the architectures, all equally likely. There must be one."""
        state, left, picks = 0, self._levels, dict[str, tuple[int, ...]]()
        for name, step, number in zip(self._choices, self._steps, rng.random(len(self._steps)).tolist(), strict=True):
            first, width = state * step.options, self._levels + 1
            moves = [(step.states[first + i] * width + left, step.levels[first + i]) for i in range(step.options)]
            ways = list(accumulate(step.ways.item(at - cost) if cost <= left else 0.0 for at, cost in moves))
            option = bisect_left(ways, (1 - number) * ways[-1])
            state, left = step.states[first + option], left - moves[option][1]
            picks[name] = (option,)
        return Arch(self._choices, picks)

    def _count(self, fronts: Sequence[tuple[str, ...]], tables: Sequence[Factor], allowed: int) -> None:
        """Fills the steps, the last one first; ``allowed`` levels may be left at the end."""
        ways = np.zeros((1, self._levels + 1))
        ways[0, : max(0, allowed + 1)] = 1
        for before, after, name, own in reversed(list(_steps(self._choices, fronts, tables))):
            axes = (*before, name)
            shape = tuple(len(self._choices[axis].options) for axis in axes)
            costs = sum((spread(table, axes) for table in own), np.zeros(shape)).astype(np.int64).ravel()
            follows = _follows(axes, shape, after)
            step = _Step(shape[-1], costs.tolist(), follows.tolist(), ways)
            ways = np.zeros((len(costs) // step.options, self._levels + 1))
            for move, (cost, state) in enumerate(zip(step.levels, step.states, strict=True)):
                if cost <= self._levels:
                    ways[move // step.options, cost:] += step.ways[state, : self._levels + 1 - cost]
            self._steps.insert(0, step)
        self._start = ways


def _fronts(choices: Choices, tables: Sequence[Factor]) -> list[tuple[str, ...]]:
    """Before each choice and after the last, the earlier ones that have a table in common with later ones."""
    place = {name: i for i, name in enumerate(choices)}
    ends = [(min(places), max(places), table) for table in tables if (places := [place[n] for n in table.names])]
    open_at = [{n for a, b, t in ends if a < i <= b for n in t.names if place[n] < i} for i in range(len(place) + 1)]
    return [tuple(sorted(names, key=place.__getitem__)) for names in open_at]


def _steps(
    choices: Choices, fronts: Sequence[tuple[str, ...]], tables: Sequence[Factor]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str, list[Factor]]]:
    """For each choice the fronts before and after it, and the tables whose last choice it is."""
    place = {name: i for i, name in enumerate(choices)}
    for i, name in enumerate(choices):
        own = [table for table in tables if table.names and max(map(place.__getitem__, table.names)) == i]
        yield fronts[i], fronts[i + 1], name, own


def _follows(axes: tuple[str, ...], shape: tuple[int, ...], after: tuple[str, ...]) -> Integers:
    """For each state and option the state that follows."""
    if not after:
        return np.zeros(math.prod(shape), dtype=np.int64)
    grid = np.indices(shape).reshape(len(shape), -1)
    kept = [axes.index(name) for name in after]
    return np.asarray(np.ravel_multi_index(tuple(grid[kept]), tuple(shape[axis] for axis in kept)))
