"""Every layer that some architecture of a space runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices, Picks
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.costs.layer import Layer, Shape
from sparsenas.costs.layer_tables import layer_tables
from sparsenas.costs.segments import SegmentCosts
from sparsenas.costs.space import TracedSpace
from sparsenas.costs.trace import is_shape, trace, trace_through
from sparsenas.errors import UserError
from sparsenas.nn.clone import on_meta
from sparsenas.nn.tree import Tree

MOST_COMBINATIONS = 20_000
"""A space is sampled instead if one of its segments has more combinations of picks than this."""
RANDOM = 50
"""The number of random architectures among these samples."""

CHECKS = 8
"""The number of random architectures that are traced as a check."""

Fixed = Mapping[str, Picks]
"""The picks of some choices of a space."""
State = tuple[Shape, frozenset[tuple[str, Picks]]]
"""What a segment hands on: a shape, and the picks of choices that occur again later."""


def enumerate_layers(net: nn.Module, shape: Shape | Tree, seed: int = 0) -> list[Layer]:
    """The distinct layers of all architectures, in the network's order.

    A sequence of segments is walked through: each segment under all picks of its choices, on every shape that the
    segments before it can hand on. Where these are too many, each layer is made under all picks of the choices that
    decide it (``layer_tables``). Where these are not found, layers are collected from sampled architectures: the
    fullest, others that have each of the options, and random ones. A layer that needs a rare combination of picks
    may then be missed; another ``seed`` draws other samples.
    Raises ``UserError`` when the network cannot run on ``shape``, that of an input without batch, or an example.
    """
    net = on_meta(net)
    known = choices(net)
    try:
        found = _walk(known, SegmentCosts(net, shape, {}).segments, (1, *shape)) if is_shape(shape) else None
    except UserError:  # segments hand on more than a tensor; if the shape is wrong, the samples raise this again
        found = None
    if found is None:
        found = _tabulated(net, shape, seed)
        for arch in _samples(known, seed):
            set_gates(net, arch.gates())
            found.update(dict.fromkeys(trace(net, shape)))
    return list(found)


def _walk(
    known: Choices, segments: Sequence[tuple[nn.Module, tuple[str, ...]]], shape: Shape
) -> dict[Layer, None] | None:
    """The layers under all picks, segment by segment; ``None`` when there are too many combinations."""
    found: dict[Layer, None] = {}
    states: dict[State, Fixed] = {(shape, frozenset()): {}}
    for i, (segment, names) in enumerate(segments):
        later = {name for _, others in segments[i + 1 :] for name in others}
        outputs: dict[tuple[Shape, tuple[Picks, ...]], Shape] = {}
        following: dict[State, Fixed] = {}
        if sum(_count(known, names, fixed) for fixed in states.values()) > MOST_COMBINATIONS:
            return None
        for (size, _), fixed in states.items():
            for picks in _combinations(known, names, fixed):
                key = size, tuple(picks[name] for name in names)
                if key not in outputs:
                    set_gates(segment, {name: Gate(picks[name]) for name in names})
                    layers, outputs[key] = trace_through(segment, size)
                    found.update(dict.fromkeys(layers))
                kept = {name: options for name, options in picks.items() if name in later}
                following[outputs[key], frozenset(kept.items())] = kept
        states = following
    return found


def _tabulated(net: nn.Module, shape: Shape | Tree, seed: int) -> dict[Layer, None]:
    """The layers under all picks of the choices that decide them; none where these are not found."""
    found: dict[Layer, None] = {}

    def note(layer: Layer) -> float:
        found[replace(layer, alive=0)] = None
        return 0.0

    return found if layer_tables(TracedSpace(net, shape, {"note": note}, CHECKS, seed)) is not None else {}


def _count(known: Choices, names: Sequence[str], fixed: Fixed) -> int:
    return math.prod(known[name].size for name in names if name not in fixed)


def _combinations(known: Choices, names: Sequence[str], fixed: Fixed) -> Iterator[Fixed]:
    """``fixed`` together with all legal picks of those of ``names`` that it does not have."""
    free = [name for name in names if name not in fixed]
    for picks in itertools.product(*(known[name].every() for name in free)):
        yield {**fixed, **dict(zip(free, picks, strict=True))}


def _samples(known: Choices, seed: int) -> Iterator[Arch]:
    """The fullest architecture, one like it with each option that it lacks, the sparsest, and random ones."""
    full = Arch(known, {name: tuple(range(choice.most)) for name, choice in known.items()})
    yield full
    for name, choice in known.items():
        for option in range(choice.most, len(choice.options)):
            yield full.replace({name: next(picks for picks in choice.neighbours(full[name]) if option in picks)})
    yield Arch(known, {name: choice.first() for name, choice in known.items()})
    rng = np.random.default_rng(seed)
    for _ in range(RANDOM):
        yield Arch.sample(known, rng)
