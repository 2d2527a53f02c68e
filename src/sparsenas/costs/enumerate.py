"""Every layer that some architecture of a space runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices, Picks
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.costs.layer import Layer, Shape
from sparsenas.costs.segments import SegmentCosts
from sparsenas.costs.trace import on_meta, trace, trace_through
from sparsenas.errors import UserError

MOST_ANSWERS = 20_000
"""A space with a piece that has more answers than this is sampled instead."""
RANDOM = 50
"""Random architectures then."""

Answers = dict[str, Picks]


def enumerate_layers(net: nn.Module, shape: Shape, seed: int = 0) -> list[Layer]:
    """The distinct layers of all architectures, in the network's order.

    A sequence of pieces is walked through: each piece under all answers to its choices, on every shape that the
    pieces before it can hand on. Where that is too much, layers are collected from the fullest architecture, from
    others that have each of the options, and from random ones, so that layers that take a rare combination may be
    missed; another ``seed`` draws others.
    Raises ``UserError`` when the network cannot run on ``shape`` (channels, height, width).
    """
    net = on_meta(net)
    questions = choices(net)
    try:
        found = _walk(questions, SegmentCosts(net, shape, {}).parts, (1, *shape))
    except UserError:  # what is handed on is more than a tensor; if the shape is wrong, the samples will tell
        found = None
    if found is None:
        found = {}
        for arch in _samples(questions, seed):
            set_gates(net, arch.gates())
            found.update(dict.fromkeys(trace(net, shape)))
    return list(found)


def _walk(
    questions: Choices, parts: Sequence[tuple[nn.Module, tuple[str, ...]]], shape: Shape
) -> dict[Layer, None] | None:
    """The layers of all answers, piece by piece; ``None`` when there are too many of them."""
    found: dict[Layer, None] = {}
    states: dict[tuple[Shape, frozenset[tuple[str, Picks]]], Answers] = {(shape, frozenset()): {}}
    for i, (part, names) in enumerate(parts):
        later = {name for _, others in parts[i + 1 :] for name in others}
        known: dict[tuple[Shape, tuple[Picks, ...]], Shape] = {}
        following: dict[tuple[Shape, frozenset[tuple[str, Picks]]], Answers] = {}
        if sum(_count(questions, names, before) for before in states.values()) > MOST_ANSWERS:
            return None
        for (size, _), before in states.items():
            for answers in _every_answer(questions, names, before):
                key = size, tuple(answers[name] for name in names)
                if key not in known:
                    set_gates(part, {name: Gate(answers[name]) for name in names})
                    layers, known[key] = trace_through(part, size)
                    found.update(dict.fromkeys(layers))
                kept = {name: picks for name, picks in answers.items() if name in later}
                following[known[key], frozenset(kept.items())] = kept
        states = following
    return found


def _count(questions: Choices, names: Sequence[str], before: Answers) -> int:
    return math.prod(questions[name].size for name in names if name not in before)


def _every_answer(questions: Choices, names: Sequence[str], before: Answers) -> Iterator[Answers]:
    """``before`` together with all answers to those of ``names`` that it leaves open."""
    unknown = [name for name in names if name not in before]
    for picks in itertools.product(*(questions[name].every() for name in unknown)):
        yield {**before, **dict(zip(unknown, picks, strict=True))}


def _samples(questions: Choices, seed: int) -> Iterator[Arch]:
    """The fullest architecture, one like it with each option that it lacks, the sparsest, and random ones."""
    full = Arch(questions, {name: tuple(range(choice.most)) for name, choice in questions.items()})
    yield full
    for name, choice in questions.items():
        for option in range(choice.most, len(choice.options)):
            yield full.replace({name: next(picks for picks in choice.neighbours(full[name]) if option in picks)})
    yield Arch(questions, {name: choice.first() for name, choice in questions.items()})
    rng = np.random.default_rng(seed)
    for _ in range(RANDOM):
        yield Arch.sample(questions, rng)
