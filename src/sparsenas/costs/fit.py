"""Whether all parts of a space fit together, tried before any work on few architectures without computing anything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Picks
from sparsenas.core.derive import active_choices
from sparsenas.core.gate import Gate, Gated, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs.layer import Shape
from sparsenas.costs.misfit import misfit
from sparsenas.costs.trace import batch_of_one, check_traceable, trace_through
from sparsenas.errors import UserError
from sparsenas.nn.clone import on_meta
from sparsenas.nn.tree import Tree

FEW = 2
"""Random architectures that are tried where all options run together."""
PATIENCE = 8
"""So many architectures in a row may have no option that none before had."""


def check_fit(
    net: nn.Module, shape: Shape | Tree, where: str = "", failure: UserError | None = None, ran: bool = False
) -> None:
    """Raises ``UserError`` naming choice, option, layer and shapes when an option does not fit the layers around it.

    Args:
        net: the network; its gates stay.
        shape: of one input without batch, or an example, as for ``trace``.
        where: what the message begins with.
        failure: what is raised where no architecture is to blame.
        ran: whether random architectures have run.
    """
    check_traceable(net)
    net, inputs = on_meta(net), batch_of_one(shape)
    rng, searched = np.random.default_rng(0), choices(net)
    few = [] if ran else [Arch.sample(searched, rng) for _ in range(FEW)]  # in some, a node of a DAG may not run
    for arch in few if _run_at_once(net, inputs) else covering(net):
        set_gates(net, arch.gates())
        try:
            trace_through(net, inputs)
        except UserError as error:
            reason = misfit(net, arch, inputs)
            if reason is None and failure is not None:
                raise failure from error
            raise UserError(f"{where}{reason or f'architecture {arch.text()}: {error}'}") from error


def _run_at_once(net: nn.Module, inputs: Shape | Tree) -> bool:
    """Whether all options run together in one network, where choices only add up options; a mere short cut."""
    if not all(isinstance(module, Join) for module in net.modules() if isinstance(module, Gated)):
        return False
    set_gates(net, {name: Gate(tuple(range(len(choice.options)))) for name, choice in choices(net).items()})
    try:
        trace_through(net, inputs)
    except UserError:
        return False
    return True


def covering(net: nn.Module) -> Iterator[Arch]:
    """Architectures in which every option runs, and any two choices of numbers once have different options.

    Options of choices that hardly ever have an effect may be left out.
    """
    searched, rng = choices(net), np.random.default_rng(0)
    left, idle = {(name, option) for name, choice in searched.items() for option in range(len(choice.options))}, 0
    while left and idle < PATIENCE:
        arch = Arch(searched, {name: _fresh(choice, left, rng) for name, choice in searched.items()})
        set_gates(net, arch.gates())
        new = left & {(name, pick) for name, picks in active_choices(net) for pick in picks}
        left, idle = left - new, 0 if new else idle + 1
        if new:
            yield arch
    numbers = dict.fromkeys(m.choice.name for m in net.modules() if isinstance(m, Gated) and not isinstance(m, Join))
    place = {name: i for i, name in enumerate(numbers)}
    for bit in range((len(place) - 1).bit_length() if place else 0):
        last = {name for name, i in place.items() if i >> bit & 1}
        yield Arch(searched, {name: _end(choice, name in last) for name, choice in searched.items()})


def _fresh(choice: Choice, left: set[tuple[str, int]], rng: np.random.Generator) -> Picks:
    """As many options as may be kept, those that have not run yet first."""
    order = sorted(rng.permutation(len(choice.options)).tolist(), key=lambda option: (choice.name, option) not in left)
    return tuple(sorted(order[: choice.most]))


def _end(choice: Choice, last: bool) -> Picks:
    n = len(choice.options)
    return tuple(range(n - choice.most, n)) if last else tuple(range(choice.most))
