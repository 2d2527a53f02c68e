"""A number for every combination of options of a few choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Factor(NamedTuple):
    """A number for every combination of options of the choices ``names``, one array axis each."""

    names: tuple[str, ...]
    values: NDArray[np.float64]


def spread(factor: Factor, names: Sequence[str]) -> NDArray[np.float64]:
    """The factor with its axes in the order of ``names``, length 1 where it has none; further axes stay last."""
    order = sorted(range(len(factor.names)), key=lambda axis: names.index(factor.names[axis]))
    rest = range(len(factor.names), factor.values.ndim)
    present = tuple(slice(None) if name in factor.names else None for name in names)
    return np.asarray(factor.values.transpose(*order, *rest)[present])
