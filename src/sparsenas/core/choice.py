"""One open decision of a search space: keep between ``least`` and ``most`` of n options."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sparsenas.errors import UserError

Picks = tuple[int, ...]
"""Sorted, distinct indices into ``Choice.options``."""


@dataclass(frozen=True)
class Choice:
    """An open decision: keep between ``least`` and ``most`` of ``options``.

    Modules whose choices have the same name are decided together. ``options`` are labels for files and reports; the
    module that owns the choice maps them to layers or numbers.
    """

    name: str
    options: tuple[str, ...]
    least: int = 1
    most: int = 1

    def __post_init__(self) -> None:
        if not self.options or len(set(self.options)) != len(self.options):
            raise UserError(f"choice {self.name!r}: options must be distinct and at least one, got {self.options}")
        if not 0 <= self.least <= self.most <= len(self.options) or self.most == 0:
            raise UserError(
                f"choice {self.name!r}: bounds must satisfy 0 <= least <= most <= {len(self.options)} and most >= 1, "
                f"got least={self.least}, most={self.most}"
            )

    @property
    def single(self) -> bool:
        """Whether exactly one option is kept."""
        return self.least == self.most == 1

    @property
    def size(self) -> int:
        """The number of legal picks."""
        return sum(math.comb(len(self.options), k) for k in range(self.least, self.most + 1))

    def check(self, picks: Sequence[int]) -> None:
        """Raises ``UserError`` unless ``picks`` are sorted, distinct, in range and within the bounds."""
        n = len(self.options)
        if len(picks) == 1 and self.single and 0 <= picks[0] < n:
            return  # the common case, made fast
        if not all(0 <= pick < n for pick in picks) or any(a >= b for a, b in itertools.pairwise(picks)):
            raise UserError(
                f"choice {self.name!r}: picks must be sorted, distinct and within 0..{n - 1}, got {tuple(picks)}"
            )
        if not self.least <= len(picks) <= self.most:
            raise UserError(
                f"choice {self.name!r}: expected {_between(self.least, self.most)} of {n} options, got {len(picks)}"
            )

    def every(self) -> Iterator[Picks]:
        """All legal picks, the smallest numbers of options first."""
        for k in range(self.least, self.most + 1):
            yield from itertools.combinations(range(len(self.options)), k)

    def neighbours(self, picks: Picks) -> Iterator[Picks]:
        """The legal picks with one option added, dropped or swapped."""
        outside = [option for option in range(len(self.options)) if option not in picks]
        if len(picks) < self.most:
            yield from (tuple(sorted((*picks, option))) for option in outside)
        for dropped in picks:
            rest = tuple(pick for pick in picks if pick != dropped)
            if len(rest) >= self.least:
                yield rest
            yield from (tuple(sorted((*rest, option))) for option in outside)

    def first(self) -> Picks:
        """The picks of a choice without effect in a canonical architecture: the first ``least`` options."""
        return tuple(range(self.least))

    def sample(self, rng: np.random.Generator) -> Picks:
        """Draws legal picks uniformly."""
        n = len(self.options)
        if self.single:
            return (int(rng.integers(n)),)
        k = int(rng.choice(np.arange(self.least, self.most + 1), p=_shares(n, self.least, self.most)))
        return tuple(sorted(int(i) for i in rng.permutation(n)[:k]))

    def strongest(self, strengths: Sequence[float]) -> Picks:
        """The options of non-zero strength, or the ``least`` or ``most`` strongest if that many must or may be kept."""
        order = sorted(range(len(self.options)), key=lambda i: -abs(strengths[i]))
        nonzero = sum(1 for strength in strengths if strength != 0)
        return tuple(sorted(order[: min(max(nonzero, self.least), self.most)]))

    def labels(self, picks: Picks) -> str | list[str]:
        """The labels of ``picks``: one string if exactly one option is kept, else a list."""
        return self.options[picks[0]] if self.single else [self.options[pick] for pick in picks]

    def picks(self, labels: object) -> Picks:
        """The inverse of ``labels``. Raises ``UserError`` for an unknown label."""
        wanted = labels if isinstance(labels, list) else [labels]
        places: dict[object, int] = {option: place for place, option in enumerate(self.options)}
        unknown = [label for label in wanted if not isinstance(label, str) or label not in places]
        if unknown:
            raise UserError(f"choice {self.name!r}: expected labels from {list(self.options)}, got {unknown[0]!r}")
        if len(set(wanted)) != len(wanted):
            raise UserError(f"choice {self.name!r}: expected distinct labels, got {wanted}")
        picks = tuple(sorted(places[label] for label in wanted))
        self.check(picks)
        return picks


@lru_cache
def _shares(n: int, least: int, most: int) -> NDArray[np.float64]:
    """Of all picks of ``least`` to ``most`` of n options, the share that keeps each number of options."""
    ways = [math.comb(n, k) for k in range(least, most + 1)]
    shift = max(0, max(ways).bit_length() - 1000)  # numbers with thousands of bits are no floats
    shares = np.array([way >> shift for way in ways], dtype=float)
    return np.asarray(shares / shares.sum())


def _between(least: int, most: int) -> str:
    return f"exactly {least}" if least == most else f"{least} to {most}"


Choices = Mapping[str, Choice]
"""The choices of a space by name, in the network's order."""
