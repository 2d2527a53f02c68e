"""Runs an opened network cut in many ways; decisions that its code cannot follow are closed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from sparsenas.core.choice import Picks
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.errors import first_line
from sparsenas.nn.clone import on_meta
from sparsenas.nn.tree import Tree, call, map_tensors, tensors
from sparsenas.opening.opened import OpenedNetwork

Run = Callable[[Mapping[str, Picks]], str]
"""Runs the network with some picks and the largest ones elsewhere; returns what went wrong, or nothing."""
RANDOM = 6


def runner(opened: OpenedNetwork, example: Tree) -> Run:
    """Runs derived networks on the meta device; on the CPU where the whole network does not run there.

    An output of another shape than that of the whole network is wrong, too.
    """
    largest, whole = opened.largest(), list[list[torch.Size]]()
    for net, x in ((on_meta(opened), map_tensors(lambda t: t.to("meta"), example)), (opened, example)):

        def run(picks: Mapping[str, Picks], net: nn.Module = net, x: Tree = x) -> str:
            set_gates(net, {name: Gate(pick) for name, pick in {**largest, **picks}.items()})
            try:
                with torch.no_grad():
                    output = call(net.eval().derived(), copy.copy(x))  # type: ignore[operator]
            except Exception as error:  # the user's code may raise anything
                return first_line(error) or type(error).__name__
            shapes = [tensor.shape for tensor in tensors(output)]
            whole[:] = whole or [shapes]
            return "" if [shapes] == whole else "its output has another shape"

        if not run({}):
            break
    return run


@dataclass
class Findings:
    """What a network's code cannot follow."""

    bad: dict[str, str] = field(default_factory=dict)
    """Choices with which it does not run, with what went wrong."""
    bound: list[list[str]] = field(default_factory=list)
    """Choices with which it runs if they are cut alike. The code takes one number of channels for another, as in
    ``n, channels, *_ = x.shape`` and a view to ``channels``."""

    def known(self) -> set[str]:
        """All these choices."""
        return {*self.bad, *(name for names in self.bound for name in names)}


def findings(opened: OpenedNetwork, example: Tree, seed: int = 0) -> Findings:
    """Tries the smallest network and random ones."""
    run, found = runner(opened, example), choices(opened)
    told = Findings()
    rng = np.random.default_rng(seed)
    trials = [opened.smallest()]
    trials += [{name: found[name].sample(rng) for name in found} for _ in range(RANDOM)]
    for picks in trials:
        left = {name: pick for name, pick in picks.items() if name not in told.known()}
        while run(left):
            name, reason = _first_culprit(run, left)
            partners = _partners(run, opened, name)
            if partners:
                told.bound.append([name, *partners])
            else:
                alike = [n for n in left if n != name and _kind(opened, n) == _kind(opened, name)]
                told.bad |= {name: reason} | {n: reason for n in alike if run({n: left[n]})}
            left = {n: pick for n, pick in left.items() if n not in told.known()}
    return told


def _partners(run: Run, opened: OpenedNetwork, name: str) -> list[str]:
    """Choices of the same options with which the network runs if they are cut alike, where it does not without them."""
    found = choices(opened)
    picks = {n: pick for n, pick in opened.smallest().items() if found[n].options == found[name].options}
    if len(picks) < 2 or not run({name: picks[name]}) or run(picks):
        return []
    for other in [n for n in picks if n != name]:
        fewer = {n: pick for n, pick in picks.items() if n != other}
        picks = picks if run(fewer) else fewer
    return [n for n in picks if n != name]


def _kind(opened: OpenedNetwork, name: str) -> tuple[type, str]:
    """The class of the module that a choice's layer belongs to, and the layer's name there."""
    parent, _, own = name.rpartition(".")
    while True:
        with suppress(AttributeError):
            return type(opened.net.get_submodule(parent)), own
        parent, _, last = parent.rpartition(".")
        own = f"{last}.{own}"


def _first_culprit(run: Run, picks: Mapping[str, Picks]) -> tuple[str, str]:
    """The last choice of the shortest list of choices, in order, with which the network does not run."""
    names = list(picks)
    low, high = 0, len(names)
    while high - low > 1:
        middle = (low + high) // 2
        if run({name: picks[name] for name in names[:middle]}):
            high = middle
        else:
            low = middle
    return names[high - 1], run({name: picks[name] for name in names[:high]})
