"""Any method on any space whose bounds it can meet; a clear word where it cannot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import CostTable, Limits
from sparsenas.errors import UserError
from sparsenas.methods import Darts, Dso, DsoFlags, Gdas, Ista, Method, Spos
from sparsenas.nn.blocks import Sum, conv_bn
from sparsenas.spaces import darts, dso, nasbench_macro, tiny
from sparsenas.testing import check_method

SHAPE = (1, 8, 8)


def own() -> nn.Sequential:
    """A user's own network: some of three operations, and a cell whose edges are open."""
    some = Join.of("some", {f"conv{k}": conv_bn(4, 4, k) for k in (1, 3, 5)}, least=1, most=3)
    edges = [Join(Choice("edges", ("a", "b"), 1, 2), [nn.Identity(), nn.Identity()], [0, 1])]
    ends = Join(Choice("ends", ("a", "b"), 1, 2), [nn.Identity(), conv_bn(4, 4, 1)], [0, 2])
    cell = Dag(1, [Sum([conv_bn(4, 4, 3)], [0]), *edges], ends, [nn.Identity(), conv_bn(4, 4, 3)])
    return nn.Sequential(conv_bn(1, 4, 3), some, cell, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


SPACES: dict[str, Callable[[], nn.Module]] = {
    "tiny": lambda: tiny(width=4, blocks=2),
    "darts": lambda: darts(width=4, cells=3, shape=SHAPE),
    "dso": lambda: dso(width=4, depth=1, shape=SHAPE),
    "own": own,
    "nasbench_macro": lambda: nasbench_macro(shape=SHAPE),
}
METHODS: dict[str, Callable[[Limits, int], Method]] = {
    "Spos": lambda limits, seed: Spos(limits.choices, limits, seed),
    "Darts": lambda limits, seed: Darts(limits.choices, limits, seed),
    "Gdas": lambda limits, seed: Gdas(limits.choices, limits, seed, epochs=3),
    "Ista": lambda limits, seed: Ista(limits.choices, limits, seed),
    "Dso": lambda limits, seed: Dso(limits.choices, limits, seed, DsoFlags(pretrain=0), epochs=2),
}
REFUSED = {
    ("Ista", "dso"): "keeps 0 to 5 options; ISTA-NAS needs choices of a fixed number",
    ("Ista", "own"): "choice 'some' keeps 1 to 3 options; ISTA-NAS needs choices of a fixed number",
    ("Darts", "tiny"): "choice 'block1.width' is no choice among operations: its module takes no weights",
    ("Gdas", "tiny"): "choice 'block1.width' is no choice among operations: its module takes no weights",
    ("Darts", "dso"): "keeps 0 to 5 options; DARTS needs choices of a fixed number",
    ("Gdas", "dso"): "keeps 0 to 5 options; GDAS needs choices of a fixed number",
    ("Darts", "own"): "choice 'some' keeps 1 to 3 options; DARTS needs choices of a fixed number",
    ("Gdas", "own"): "choice 'some' keeps 1 to 3 options; GDAS needs choices of a fixed number",
    ("Dso", "tiny"): "choice 'block1' keeps 1 to 1 of 4 options; DSO-NAS starts from all",
    ("Dso", "nasbench_macro"): "keeps 1 to 1 of 3 options; DSO-NAS starts from all",
    ("Dso", "darts"): "keeps 2 to 2 of 14 options; DSO-NAS starts from all",
}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", METHODS)
def test_any_method_on_any_space(name: str, space: str) -> None:
    """It proposes legal answers, learns from them, resumes, and ends with an architecture that can be derived."""
    net, make = SPACES[space](), METHODS[name]
    limits = Limits(CostTable(net, SHAPE))
    if (name, space) in REFUSED:
        with pytest.raises(UserError, match=REFUSED[name, space]) as raised:
            make(limits, 0)
        assert "\n" not in str(raised.value)
        return
    check_method(make, limits, steps=3)
    method, open_choices = make(limits, 0), choices(net)
    optimizer = method.optimizer()
    for epoch in range(2):
        set_gates(net, method.gates())
        loss = functional.cross_entropy(net(torch.randn(4, *SHAPE)), torch.randint(10, (4,)))
        loss.backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
        method.end_epoch(epoch)
    final = method.final()
    plain = derive(net, final.gates if final else Arch.sample(open_choices, np.random.default_rng(0)).gates()).eval()
    assert not choices(plain)
    assert plain(torch.randn(2, *SHAPE)).shape == (2, 10)
