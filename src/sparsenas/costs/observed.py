"""The layers of some architectures, each followed through all of them, as numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.choice import Picks
from sparsenas.core.derive import Replacements
from sparsenas.core.gate import Gate, set_gates
from sparsenas.costs.layer import Layer
from sparsenas.costs.space import TracedSpace
from sparsenas.costs.trace import Origin, batch_of_one, trace_origins

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Form = tuple[str, tuple[int, ...], bool]
"""The kind of a layer, how many numbers it has of each sort, and whether it has bits."""


class LayerKey(NamedTuple):
    """One layer in all architectures."""

    origin: Origin
    form: Form
    call: int
    """The number of the call, among those of one form."""


Row = tuple[int, ...]
"""The numbers of a layer in one architecture; the last one is that of parameters beside the weight."""
Seen = dict[LayerKey, dict[int, Row]]
"""The rows of layers, by the number of the architecture."""


def columns(rows: Mapping[int, Row], count: int) -> tuple[Integers, Mask]:
    """The numbers of a layer in architectures, zero where it does not run; and where it runs."""
    runs = np.array([i in rows for i in range(count)])
    values = np.zeros((count, len(next(iter(rows.values())))), dtype=np.int64)
    values[runs] = [rows[i] for i in np.flatnonzero(runs).tolist()]
    return values, runs


def observe(space: TracedSpace, picks: Mapping[str, Picks], number: int, seen: Seen, derived: Replacements) -> None:
    """Adds the layers that run with these picks, and with all options of joins side by side.

    ``derived`` is one for all architectures, which saves time.
    """
    every = {name: Gate(tuple(range(len(choice.options)))) for name, choice in space.choices.items()}
    set_gates(space.net, every | {name: Gate(chosen) for name, chosen in picks.items()})
    calls: dict[tuple[Origin, Form], int] = {}
    for origin, layer in trace_origins(space.net, batch_of_one(space.shape), derived):
        sizes = tuple(map(len, (layer.inputs, layer.output, layer.weight, layer.settings)))
        form = layer.op, sizes, layer.bits is not None
        calls[origin, form] = call = calls.get((origin, form), -1) + 1
        seen.setdefault(LayerKey(origin, form, call), {})[number] = _as_numbers(layer)


def _as_numbers(layer: Layer) -> Row:
    rest = layer.params - _weights(layer.weight)
    return (*layer.inputs, *layer.output, *layer.weight, *layer.settings, *(layer.bits or ()), rest)


def _weights(weight: Sequence[int]) -> int:
    return math.prod(weight) if weight else 0


def as_layer(key: LayerKey, numbers: Sequence[int]) -> Layer:
    """The inverse of ``_as_numbers``."""
    op, sizes, has_bits = key.form
    ends = list(itertools.accumulate(sizes, initial=0))
    inputs, output, weight, options = (tuple(numbers[a:b]) for a, b in itertools.pairwise(ends))
    bits = (numbers[-3], numbers[-2]) if has_bits else None
    return Layer(op, inputs, output, weight, options, numbers[-1] + _weights(weight), bits)
