"""Attributes of a user's own modules that hold a number of heads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction

from torch import Tensor, nn

from sparsenas.opening.flow import Flow
from sparsenas.opening.positions import Positions
from sparsenas.opening.sizes import Size


def head_sizes(flow: Flow, net: nn.Module, place: Callable[[Tensor], Positions]) -> dict[type, list[list[Size]]]:
    """Ways to tell modules how many heads are left, the likeliest first, by the class of the modules.

    A module's whole numbers that equal its number of heads follow it, and so do those that equal a multiple of all
    channels of its heads. Which of them do cannot be known, so it has to be tried.
    """
    exact: defaultdict[type, list[Size]] = defaultdict(list)
    multiple: defaultdict[type, list[Size]] = defaultdict(list)
    done: set[tuple[str, str]] = set()
    for heads in flow.heads:
        module, positions, n = net.get_submodule(heads.owner), place(heads.ids), len(heads.ids)
        if not positions.decisions():
            continue
        for name, value in _numbers(module):
            factor = Fraction(value, n)
            if (heads.owner, name) in done or n == 1:
                continue
            if value == n:
                exact[type(module)].append(Size(heads.owner, name, (positions,)))
            elif heads.each > 1 and value in (n * heads.each, 3 * n * heads.each):
                multiple[type(module)].append(Size(heads.owner, name, (positions,), factor))
            else:
                continue
            done.add((heads.owner, name))
    kinds = dict.fromkeys((*exact, *multiple))
    return {kind: [exact[kind], exact[kind] + multiple[kind], multiple[kind], []] for kind in kinds}


def _numbers(module: nn.Module) -> Iterator[tuple[str, int]]:
    for name, value in vars(module).items():
        if type(value) is int and value > 1:
            yield name, value
