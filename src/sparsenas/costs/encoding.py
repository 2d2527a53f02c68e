"""Architectures as rows of zeros and ones, so that arithmetic works on whole populations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices

Matrix = NDArray[np.float64]


class Encoding:
    """One column per option of every choice, in the order of the choices; 1 where the option is picked."""

    def __init__(self, choices: Choices) -> None:
        sizes = [len(choice.options) for choice in choices.values()]
        self.choices = choices
        self.columns = dict(zip(choices, itertools.accumulate(sizes, initial=0), strict=False))
        """The first column of each choice."""
        self.width = sum(sizes)
        """The number of columns."""
        self._sizes, self._firsts = sizes, np.array(list(self.columns.values()), dtype=np.int64)
        self._single = all(choice.single for choice in choices.values())
        self._picks = [(option,) for option in range(self.width)]

    def span(self, name: str) -> slice:
        """The columns of one choice."""
        return slice(self.columns[name], self.columns[name] + len(self.choices[name].options))

    def encode(self, archs: Sequence[Arch]) -> Matrix:
        """One row per architecture."""
        rows = np.zeros((len(archs), self.width))
        if self._single:
            picks = np.fromiter(itertools.chain.from_iterable(arch.every_pick() for arch in archs), np.int64)
            rows[np.arange(len(archs))[:, None], picks.reshape(len(archs), len(self._firsts)) + self._firsts] = 1
            return rows
        for row, arch in zip(rows, archs, strict=True):
            for name, first in self.columns.items():
                row[[first + pick for pick in arch[name]]] = 1
        return rows

    def decode(self, row: Matrix) -> Arch:
        """The architecture of one row."""
        return Arch(self.choices, {name: np.flatnonzero(row[self.span(name)]).tolist() for name in self.choices})

    def decode_all(self, rows: Matrix) -> list[Arch]:
        """The architectures of several rows, faster than one by one."""
        if not self._single:
            return [self.decode(row) for row in rows]
        picks = np.nonzero(rows)[1].reshape(len(rows), len(self.columns)) - self._firsts
        named = ([self._picks[pick] for pick in row] for row in picks.tolist())
        return [Arch(self.choices, dict(zip(self.columns, row, strict=True))) for row in named]

    def draw(self, rng: np.random.Generator, count: int) -> Matrix:
        """``count`` rows drawn uniformly: as ``Arch.sample``, for many architectures at once."""
        if not self._single:
            return self.encode([Arch.sample(self.choices, rng) for _ in range(count)])
        rows = np.zeros((count, self.width))
        picks = self._firsts + rng.integers(self._sizes, size=(count, len(self._sizes)))
        rows[np.arange(count)[:, None], picks] = 1
        return rows
