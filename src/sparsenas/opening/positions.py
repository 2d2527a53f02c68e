"""Which positions along a dimension are kept when units of decisions are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
State = tuple[int, ...] | None
"""The units of a decision that are kept, in order; ``None`` for all of them."""


@dataclass(frozen=True, eq=False)
class Positions:
    """For each position the unit that it belongs to: a decision (-1 for none) and a unit of it."""

    decision: NDArray[np.int64]
    unit: NDArray[np.int64]

    def decisions(self) -> list[int]:
        """The decisions whose units are here."""
        return self._decisions

    @cached_property
    def _decisions(self) -> list[int]:
        return [int(d) for d in np.unique(self.decision) if d >= 0]

    def kept(self, states: Sequence[State]) -> NDArray[np.int64] | None:
        """The positions that are kept, increasing; ``None`` for all of them."""
        mask = np.ones(len(self.unit), bool)
        for d in self.decisions():
            state = states[d]
            if state is not None:
                here = self.decision == d
                mask[here] = np.isin(self.unit[here], state)
        return None if mask.all() else np.flatnonzero(mask)
