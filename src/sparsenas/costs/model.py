"""What every strategy for the costs of populations provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.costs.factor import Factor

Matrix = NDArray[np.float64]


class LinearTerms(NamedTuple):
    """A cost that is ``base`` plus the sum of ``options`` over the picked options."""

    base: float
    options: Matrix
    """One number per column of the encoding."""


class AdditiveTerms(NamedTuple):
    """A cost as a sum over the picked options, and over pairs of them."""

    base: float
    options: Matrix
    """One number per column of the encoding."""
    pairs: Matrix | None = None
    """One number for every two columns; only options of one-of-n choices have them. ``None``: no pair has any."""


class CostModel(ABC):
    """Costs of encoded architectures of one space."""

    @abstractmethod
    def __call__(self, rows: Matrix) -> Matrix:
        """The costs of encoded architectures, of shape (architectures, costs)."""

    def cheapest(self, cost: int, sign: int) -> Arch | None:
        """The architecture at which ``sign`` times a cost is least; ``None`` when the model cannot tell."""
        return None

    def additive_terms(self, cost: int) -> AdditiveTerms | None:
        """A cost as a sum over options and pairs of options; ``None`` when it is no such sum."""
        return None

    def linear_terms(self, cost: int) -> LinearTerms | None:
        """A cost as a sum over options; ``None`` when it is no such sum."""
        return None

    def tables(self, cost: int) -> list[Factor] | None:
        """A cost as a sum of tables over one-of-n choices; ``None`` when it is given as another sum, or as none."""
        return None
