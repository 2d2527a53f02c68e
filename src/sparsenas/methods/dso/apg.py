"""Accelerated proximal gradient steps for non-negative scales under an L1 penalty (DSO-NAS)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

CLIP = 2.0
"""Largest magnitude of an element of the gradient."""


class ApgNag(Optimizer):
    """APG in Nesterov's momentum form (DSO-NAS eq. 6-8; before it in SSS by Huang and Wang).

    With the gradient g at the current scales, the step size lr and S the soft threshold:
    ``z = scales - lr g;  s = S(z, lr gamma);  v <- s - scales + momentum v;  scales <- max(0, s + momentum v)``.
    v starts at 0 and does not follow the projection to non-negative numbers. Scales that reach 0 are exactly 0.
    """

    def __init__(self, scales: Iterable[Tensor], lr: float, momentum: float, gamma: Tensor | float) -> None:
        """``gamma`` is the weight of the L1 norm, one number or one per scale; it is read at every step."""
        super().__init__(scales, {"lr": lr, "momentum": momentum})
        self.gamma = gamma

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step on the current gradients."""
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
        """The vector v of a parameter; it may be changed in place."""
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
    """The textbook form as a reference: proximal steps from points extrapolated from the last two iterates.

    ``x' = S(y - lr g(y), lr gamma);  y' = x' + momentum (x' - x)``. Returns y after every step. They are the scales
    of ``ApgNag`` while none is negative.
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
