"""The optimizer of scales is the published one, and reaches exact zeros."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nets import seeds
from sparsenas.methods.dso.apg import ApgNag, apg_slowly


def run(
    gradient: Callable[[Tensor], Tensor], start: Tensor, lr: float, momentum: float, gamma: Tensor | float, steps: int
) -> tuple[list[Tensor], ApgNag]:
    scales = torch.nn.Parameter(start.clone())
    optimizer = ApgNag([scales], lr, momentum, gamma)
    seen = []
    for _ in range(steps):
        scales.grad = gradient(scales.detach())
        optimizer.step()
        seen.append(scales.detach().clone())
    return seen, optimizer


@given(seeds, st.floats(0, 0.95), st.floats(0, 1))
@settings(max_examples=20)
def test_the_three_formulas(seed: int, momentum: float, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(20, 3)) * 2
    scales, v, expected = np.ones(3), np.zeros(3), []
    for g in gradients:
        for i in range(3):  # number by number, in Python
            z = scales[i] - 0.1 * max(-2.0, min(2.0, g[i]))
            s = max(abs(z) - 0.1 * gamma, 0.0) * (1 if z > 0 else -1)
            v[i] = s - scales[i] + momentum * v[i]
            scales[i] = max(0.0, s + momentum * v[i])
        expected.append(scales.copy())
    queue = iter(torch.tensor(gradients))
    seen, _ = run(lambda x: next(queue), torch.ones(3).double(), 0.1, momentum, gamma, 20)
    np.testing.assert_allclose(torch.stack(seen).numpy(), expected, rtol=1e-12, atol=1e-12)


@given(seeds, st.floats(0, 0.9), st.floats(0, 0.3))
@settings(max_examples=20)
def test_the_textbook_form(seed: int, momentum: float, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    h, centre = rng.uniform(0.5, 1, 4), rng.uniform(1, 2, 4)
    slow = apg_slowly(lambda y: list(h * (np.array(y) - centre)), [1.0] * 4, 0.1, momentum, gamma, 50)
    h_, centre_ = torch.tensor(h), torch.tensor(centre)
    fast, _ = run(lambda x: h_ * (x - centre_), torch.ones(4).double(), 0.1, momentum, gamma, 50)
    np.testing.assert_allclose(torch.stack(fast).numpy(), slow, rtol=1e-10)


@given(seeds, st.floats(0.01, 0.5))
def test_without_momentum_it_is_ista(seed: int, gamma: float) -> None:
    torch.manual_seed(seed)
    start, centre = torch.rand(5).double(), torch.randn(5).double()
    seen, _ = run(lambda x: x - centre, start, 0.1, 0.0, gamma, 3)
    x = start
    for after in seen:
        z = x - 0.1 * (x - centre).clamp(-2, 2)
        x = (torch.sign(z) * (z.abs() - 0.1 * gamma).clamp(min=0)).clamp(min=0)
        torch.testing.assert_close(after, x)


@given(st.floats(0.2, 2), st.floats(-1, 2), st.floats(0.01, 1))
@settings(deadline=None, max_examples=10)
def test_minimum_of_a_quadratic(h: float, centre: float, gamma: float) -> None:
    seen, _ = run(lambda x: h * (x - centre), torch.ones(1).double(), 0.1, 0.9, gamma, 3000)
    expected = max(0.0, centre - gamma / h)
    assert float(seen[-1]) == pytest.approx(expected, abs=1e-6)
    if centre < gamma / h - 1e-3:
        assert float(seen[-1]) == 0.0


@pytest.mark.parametrize(("gamma", "step"), [(0.001, 1009), (0.01, 109)])
def test_first_exact_zero(gamma: float, step: int) -> None:
    seen, optimizer = run(torch.zeros_like, torch.ones(1).double(), 0.1, 0.9, gamma, step + 3)
    zeros = [i + 1 for i, x in enumerate(seen) if float(x) == 0]
    assert zeros[0] == step
    assert float(seen[-1]) == 0


def test_two_zero_steps_end_the_motion() -> None:
    scales = torch.nn.Parameter(torch.tensor([0.05]))
    optimizer = ApgNag([scales], 0.1, 0.9, 1.0)
    for _ in range(3):
        scales.grad = torch.zeros(1)
        optimizer.step()
    assert float(scales.detach()) == 0.0


@given(seeds, st.integers(1, 200))
@settings(deadline=None, max_examples=10)
def test_never_negative(seed: int, steps: int) -> None:
    torch.manual_seed(seed)
    seen, _ = run(lambda x: 3 * torch.randn_like(x), torch.ones(20), 0.1, 0.9, 0.01, steps)
    assert float(torch.stack(seen).min()) >= 0


@given(seeds)
@settings(deadline=None, max_examples=5)
def test_a_larger_penalty_leaves_no_more(seed: int) -> None:
    torch.manual_seed(seed)
    a = torch.rand(12, 8).double()
    hessian, target = a.T @ a / 12, torch.rand(8).double()
    counts = []
    for gamma in (0.01, 0.05, 0.2, 1.0):
        seen, _ = run(lambda x: hessian.diag() * x - target, torch.ones(8).double(), 0.1, 0.9, gamma, 2000)
        counts.append(int((seen[-1] > 0).sum()))
    assert counts == sorted(counts, reverse=True)
