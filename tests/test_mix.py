"""Weighted sums of the same tensors at once are those of the loop, and so are their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nets import seeds, slow_dag
from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.nn import weighted_sum as module
from sparsenas.nn.blocks import Sum
from sparsenas.nn.weighted_sum import mix, mix_slowly


@given(seeds, st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_equal_to_the_loop(seed: int, sums: int, count: int, last: bool) -> None:
    torch.manual_seed(seed)
    order = torch.channels_last if last else torch.contiguous_format
    shape = torch.randint(1, 5, (4,)).tolist()
    sources = [torch.randn(shape).double().to(memory_format=order).requires_grad_() for _ in range(count)]
    weights = torch.randn(sums, count).double().requires_grad_()
    pulls = [torch.randn(shape).double() for _ in range(sums)]
    results = []
    for function in (mix, mix_slowly):
        outputs = function(weights, sources)
        gradients = torch.autograd.grad(outputs, [weights, *sources], pulls)
        results.append((*outputs, *gradients))
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)


def test_piece_by_piece_and_in_other_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, weights = [torch.randn(2, 3, 5, 5) for _ in range(3)], torch.randn(2, 3)
    whole = mix(weights, sources)
    monkeypatch.setattr(module, "PIECE", 7)
    for total, part in zip(whole, mix(weights, sources), strict=True):
        torch.testing.assert_close(total, part)
    half = mix(weights, [x.bfloat16() for x in sources])
    assert half[0].dtype == torch.bfloat16
    slow = mix_slowly(weights, [x.bfloat16().float() for x in sources])
    torch.testing.assert_close(half[0].float(), slow[0], rtol=1e-2, atol=1e-2)


def test_only_wanted_gradients() -> None:
    sources = [torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2, requires_grad=True)]
    mix(torch.randn(2, 2), sources)[1].sum().backward()
    assert sources[0].grad is None
    assert sources[1].grad is not None


def connected(seed: int, slow: bool = False, levels: int = 3, width: int = 2) -> Dag:
    """Levels of nodes that read any earlier node, as in DSO-NAS; slow ones do not know that they only add."""
    hide = nn.Sequential if slow else lambda op: op
    joins: list[Join | Sum] = []
    for level in range(levels):
        for node in range(width):
            sources = range(1 + level * width)
            choice = Choice(f"{level}.{node}", tuple(map(str, sources)), 0, len(sources))
            joins.append(Join(choice, [hide(nn.Identity()) for _ in sources], sources))
    sources = range(1 + levels * width)
    torch.manual_seed(seed)
    convs = [hide(nn.Conv2d(2, 2, 1, bias=False)) for _ in sources]
    output = Join(Choice("out", tuple(map(str, sources)), 1, len(sources)), convs, sources)
    return Dag(1, joins, output, [nn.Softplus() for _ in joins]).double()


@given(seeds, st.booleans())
@settings(deadline=None)
def test_levels_are_their_sums(seed: int, weighted: bool) -> None:
    dag, loop, rng = connected(seed), connected(seed, slow=True), np.random.default_rng(seed)
    arch = Arch.sample(choices(dag), rng)
    weights = {name: torch.tensor(rng.uniform(-1, 1, len(picks)), requires_grad=True) for name, picks in arch.items()}
    gates = {name: Gate(picks, weights[name] if weighted else None) for name, picks in arch.items()}
    x = torch.tensor(rng.normal(size=(2, 2, 3, 3)), requires_grad=True)
    set_gates(dag, gates)
    set_gates(loop, gates)
    fast, slow, slowest = dag(x), loop(x), slow_dag(loop, gates, [x])
    assert (fast is None) == (slow is None) == (slowest is None)
    if fast is None:
        return
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(slow, slowest)
    learners = [x, *(w for w in weights.values() if weighted and len(w))]
    for ours, theirs in zip(_gradients(fast, learners), _gradients(slow, learners), strict=True):
        torch.testing.assert_close(ours, theirs)


def _gradients(y: Tensor, learners: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(y.square().sum(), learners, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(learners, found, strict=True)]


def test_levels() -> None:
    assert connected(0).levels == [range(0, 2), range(2, 4), range(4, 6)]
