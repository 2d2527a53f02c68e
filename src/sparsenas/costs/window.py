"""The architectures whose costs lie within bounds, found exactly where costs add up: by meeting in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch, every_arch, space_size
from sparsenas.core.choice import Choices
from sparsenas.costs.encoding import Encoding
from sparsenas.costs.model import AdditiveTerms
from sparsenas.costs.sums import (
    MOST_STATES,
    Integers,
    Step,
    Values,
    every_way,
    halves,
    random_way,
    reachable,
    whole_numbers,
)

MOST_MATCHES = 200_000
"""The most pairs of sums that are kept,"""
MOST_CHECKED = 50_000_000
"""and looked at."""
CHUNK = 2_000_000


class Window:
    """Architectures by the sums of their two halves: each pair of sums that lies within the bounds stands for several.

    The reachable sums of either half are listed once; sums of one half are looked up among those of the other.
    """

    def __init__(self, encoding: Encoding, values: Values, most: int, seed: int) -> None:
        """Lists at most ``most`` sums of either half, where there are more a random part of them."""
        rng = np.random.default_rng(seed)
        self._encoding, self._values = encoding, values
        left, right = halves(encoding.choices, values)
        self._left, all_left = reachable(values, left, most, rng)
        self._right, all_right = reachable(values, right, most, rng)
        self._pairs, all_pairs = _matches(values, self._left[-1], self._right[-1], rng)
        self.complete = all_left and all_right and all_pairs
        """Whether no architecture within the bounds is missing."""
        ways = self._left[-1].ways[self._pairs[:, 0]] * self._right[-1].ways[self._pairs[:, 1]]
        self._ways = np.cumsum(ways)

    @property
    def size(self) -> float:
        """The number of architectures."""
        return float(self._ways[-1]) if len(self._ways) else 0.0

    def draw(self, rng: np.random.Generator) -> Arch | None:
        """One of the architectures, all equally likely; ``None`` when there is none."""
        if not len(self._ways):
            return None
        pair = int(np.searchsorted(self._ways, rng.random() * self._ways[-1], side="right"))
        left, right = self._pairs[pair].tolist()
        picks = random_way(self._values, self._left, left, rng) | random_way(self._values, self._right, right, rng)
        return Arch(self._encoding.choices, picks)

    def every(self) -> Iterator[Arch]:
        """All architectures, of which there are ``size``."""
        for left, right in self._pairs.tolist():
            for first in every_way(self._values, self._left, left):
                for second in every_way(self._values, self._right, right):
                    yield Arch(self._encoding.choices, {**first, **second})


def find_window(
    encoding: Encoding, terms: Sequence[AdditiveTerms], bounds: Sequence[tuple[float, float]], seed: int = 0
) -> Window | None:
    """The architectures whose costs, with these terms, are within these bounds (low, high); both ends are included.

    ``None`` where a choice has too many legal picks to list.
    """
    values = whole_numbers(encoding, terms, bounds)
    if values is None:
        return None
    for most in MOST_STATES:
        window = Window(encoding, values, most, seed)
        if window.size or window.complete:
            break
    return window


class Listed:
    """Architectures within bounds that were found one by one."""

    complete = True
    """No architecture within the bounds is missing."""

    def __init__(self, archs: Sequence[Arch]) -> None:
        self._archs = archs

    @property
    def size(self) -> float:
        """The number of architectures."""
        return len(self._archs)

    def draw(self, rng: np.random.Generator) -> Arch | None:
        """One of the architectures, all equally likely; ``None`` when there is none."""
        return self._archs[int(rng.integers(len(self._archs)))] if self._archs else None

    def every(self) -> Iterator[Arch]:
        """All architectures."""
        yield from self._archs


def list_window(choices: Choices, legal: Callable[[Sequence[Arch]], NDArray[np.bool_]], most: int) -> Listed | None:
    """The ``legal`` architectures of a space of at most ``most``; ``None`` for a larger one."""
    if space_size(choices) > most:
        return None
    every = list(every_arch(choices))
    return Listed([arch for arch, meets in zip(every, legal(every), strict=True) if meets])


def _matches(values: Values, left: Step, right: Step, rng: np.random.Generator) -> tuple[Integers, bool]:
    """Pairs (state of the left, state of the right) whose sum is within the bounds, and whether these are all."""
    found: list[Integers] = []
    checked = kept = 0
    for lefts, rights, shift in _groups(values, left, right):
        low, high = values.low - shift, values.high - shift
        for pairs in _near(left.sums[lefts], right.sums[rights], low, high, rng):
            sums = left.sums[lefts[pairs[:, 0]]] + right.sums[rights[pairs[:, 1]]]
            within = ((sums >= low) & (sums <= high)).all(axis=1)
            found.append(np.stack([lefts[pairs[within, 0]], rights[pairs[within, 1]]], axis=1))
            checked, kept = checked + len(pairs), kept + len(found[-1])
            if checked > MOST_CHECKED or kept > MOST_MATCHES:
                return np.concatenate(found), False
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64), True


def _groups(values: Values, left: Step, right: Step) -> Iterator[tuple[Integers, Integers, Integers]]:
    """States with equal picks on either side, and what these picks cost together."""
    lefts, rights = _by_picks(left.picks), _by_picks(right.picks)
    for states in lefts:
        for others in rights:
            shift = np.zeros_like(values.low)
            for a, i in zip(left.front, left.picks[states[0]], strict=True):
                for b, j in zip(right.front, right.picks[others[0]], strict=True):
                    if (a, b) in values.pairs:
                        shift = shift + values.pairs[a, b][i, j]
            yield states, others, shift


def _by_picks(picks: Integers) -> list[Integers]:
    if not len(picks) or not picks.shape[1]:
        return [np.arange(len(picks))] if len(picks) else []
    _, group = np.unique(picks, axis=0, return_inverse=True)
    return [np.flatnonzero(group.ravel() == i) for i in range(int(group.max()) + 1)]


def _near(
    left: Integers, right: Integers, low: Integers, high: Integers, rng: np.random.Generator
) -> Iterator[Integers]:
    """Chunks of pairs whose sum is within the bounds for one cost at least: the one with the fewest such pairs."""
    spans = [_span(left[:, cost], right[:, cost], low[cost], high[cost]) for cost in range(len(low))]
    order, first, last = min(spans, key=lambda span: int((span[2] - span[1]).sum()))
    turn = rng.permutation(len(left))
    turn = turn[last[turn] > first[turn]]
    sizes = (last - first)[turn]
    ends = np.cumsum(sizes)
    chunk = (ends - 1) // CHUNK
    for i in range(int(chunk[-1]) + 1 if len(chunk) else 0):
        here, count = turn[chunk == i], sizes[chunk == i]
        offsets = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        yield np.stack([np.repeat(here, count), order[np.repeat(first[here], count) + offsets]], axis=1)


def _span(
    left: Integers, right: Integers, low: np.int64, high: np.int64
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The order of the right, and for each on the left the range in it that brings the sum within the bounds."""
    order = np.argsort(right, kind="stable")
    ordered = right[order]
    return order, np.searchsorted(ordered, low - left, "left"), np.searchsorted(ordered, high - left, "right")
