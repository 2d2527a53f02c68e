"""Which units of a decision matter most, from the weights alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsenas.opening.opened import Cut

Vector = NDArray[np.float64]


def by_weights(tensors: Mapping[str, Tensor], cuts: Sequence[Cut], units: Mapping[int, int]) -> dict[int, Vector]:
    """The importance of each unit of each decision, of the numbers of units given.

    The squared weights of a unit, biases left out, are added up in each tensor, relative to their mean over the units.
    The means over the tensors that make a unit's outputs and over those that read them are multiplied: a channel
    matters as much as it is strong and is listened to.
    """
    made: defaultdict[int, list[Vector]] = defaultdict(list)
    read: defaultdict[int, list[Vector]] = defaultdict(list)
    for cut in cuts:
        tensor = tensors.get(cut.name)
        if not isinstance(tensor, torch.nn.Parameter) or tensor.is_meta or "bias" in cut.name.rpartition(".")[2]:
            continue
        other = [d for d in range(tensor.ndim) if d != cut.dim]
        squares = tensor.detach().double().square()
        strength = (squares.sum(other) if other else squares).cpu().numpy()
        for d in set(cut.positions.decisions()) & units.keys():
            here = cut.positions.decision == d
            total = np.bincount(cut.positions.unit[here], strength[here], minlength=units[d])
            if total.mean() > 0:
                (read if cut.reads else made)[d].append(total / total.mean())
    return {d: _mean(made[d], n) * _mean(read[d], n) for d, n in units.items()}


def _mean(parts: list[Vector], n: int) -> Vector:
    return np.mean(parts, axis=0) if parts else np.ones(n)
