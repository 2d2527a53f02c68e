"""Accelerated proximal gradient steps for non-negative scales under an L1 penalty, as DSO-NAS takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

CLIP = 2.0
"""Largest magnitude of an element of the gradient."""


class ApgNag(Optimizer):
    """APG in Nesterov's momentum form, one vector at a time (DSO-NAS eq. 6-8, Huang and Wang's SSS before it).

    With the gradient g at the current scales, the step size lr and S the soft threshold:
    ``z = scales - lr g;  s = S(z, lr gamma);  v <- s - scales + momentum v;  scales <- max(0, s + momentum v)``.
    v starts at 0 and does not notice the last projection. Numbers that reach 0 are exactly 0.
    """

    def __init__(self, scales: Iterable[Tensor], lr: float, momentum: float, gamma: Tensor | float) -> None:
        """``gamma`` is the weight of the L1 norm, of one number or one for every scale; it is read at every step."""
        super().__init__(scales, {"lr": lr, "momentum": momentum})
        self.gamma = gamma

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step on the gradients at hand."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for scales in group["params"]:
                if scales.grad is not None:
                    z = scales - lr * scales.grad.clamp(-CLIP, CLIP)
                    s = torch.sign(z) * (z.abs() - lr * self.gamma).clamp(min=0)
                    v = self.velocity(scales)
                    v.mul_(momentum).add_(s - scales)
                    scales.copy_((s + momentum * v).clamp(min=0))

    def velocity(self, scales: Tensor) -> Tensor:
        """The vector v that belongs to some scales; it may be changed in place."""
        state: dict[str, Any] = self.state[scales]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(scales)
        v: Tensor = state["velocity"]
        return v


def apg_slowly(
    gradient: Callable[[Sequence[float]], Sequence[float]],
    start: Sequence[float],
    lr: float,
    momentum: float,
    gamma: float,
    steps: int,
) -> list[list[float]]:
    """The textbook form, number by number: proximal steps from points extrapolated from the last two iterates.

    ``x' = S(y - lr g(y), lr gamma);  y' = x' + momentum (x' - x)``. Returns y after every step; those of ``ApgNag``,
    as long as its projection to numbers that are not negative has nothing to do.
    """
    x, y = list(start), list(start)
    seen = []
    for _ in range(steps):
        new = []
        for at, g in zip(y, gradient(y), strict=True):
            z = at - lr * min(max(g, -CLIP), CLIP)
            sign = 1 if z > 0 else -1
            new.append(sign * max(abs(z) - lr * gamma, 0.0))
        y = [after + momentum * (after - before) for after, before in zip(new, x, strict=True)]
        x = new
        seen.append(y)
    return seen
