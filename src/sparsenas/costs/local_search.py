"""Local search over architectures: from one architecture to a better neighbour, until there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sparsenas.core.arch import Arch

Value = TypeVar("Value", float, tuple[float, str], tuple[float, ...])
Moves = Callable[[Arch], list[Arch]]
"""The architectures to compare with a given one."""


def local_search(
    arch: Arch,
    value: Value,
    moves: Sequence[Moves],
    evaluate: Callable[[Sequence[Arch]], Sequence[Value]],
    enough: Value | None = None,
) -> tuple[Arch, Value]:
    """The last of a chain of ever better architectures, and its value.

    Args:
        arch: the first architecture of the chain.
        value: its value; less is better.
        moves: tried in turn; the best architecture of each set follows in the chain if it is better. The search
            ends after a round without success.
        evaluate: the values of several architectures.
        enough: the search ends as soon as the value is no greater.
    """
    improved = True
    while improved and (enough is None or value > enough):
        improved = False
        for others in moves:
            found = others(arch)
            values = evaluate(found) if found else []
            best = min(range(len(found)), key=values.__getitem__, default=None)
            if best is not None and values[best] < value:
                arch, value, improved = found[best], values[best], True
    return arch, value


def neighbours(arch: Arch) -> list[Arch]:
    """All architectures with one option of one choice added, dropped or swapped."""
    return [arch.replace({n: picks}) for n, c in arch.choices.items() for picks in c.neighbours(arch[n])]


def options_of(name: str) -> Moves:
    """The moves that change one choice to any of its legal picks."""
    return lambda arch: [arch.replace({name: picks}) for picks in arch.choices[name].every()]
