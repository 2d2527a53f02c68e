"""The flags of DSO-NAS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sparsenas.errors import UserError, check_at_least

Adapt = Literal["none", "flops", "memory_access", "latency"]


@dataclass(frozen=True)
class DsoFlags:
    """Flags of DSO-NAS."""

    gamma: float = 1e-3
    """Weight of the L1 penalty on the scales. With a budget, that of the first epoch of the search, and the highest of
    the others"""
    lr: float = 0.1
    """Learning rate of the scales"""
    momentum: float = 0.9
    """Momentum of the scales, from 0 to below 1"""
    period: int = 2
    """One step in PERIOD is a step of the scales, the others are of the weights; at least 2"""
    pretrain: float = 0.5
    """Share of the epochs in which the complete network is trained without scales, from 0 to below 1"""
    prune_every: int = 5
    """Epochs between prunings"""
    adapt: Adapt = "flops"
    """Factor of gamma for each option. flops = share of its block's multiply-adds that is left; memory_access = memory
    access of its operation, relative to the highest in its block; latency = from 0.5 for the option that saves the
    least time to 1 for the one that saves the most; none = 1"""
    deadline: float = 0.75
    """Share of the search's epochs after which the budget must be met, above 0 and at most 1"""

    def __post_init__(self) -> None:
        check_at_least(vars(self), {"gamma": 0, "lr": 0, "period": 2, "prune_every": 1})
        if self.adapt not in get_args(Adapt):
            raise UserError(f"adapt: expected one of {', '.join(get_args(Adapt))}, got {self.adapt!r}")
        for name in ("momentum", "pretrain"):
            if not 0 <= vars(self)[name] < 1:
                raise UserError(f"{name}: expected 0 <= {name} < 1, got {vars(self)[name]}")
        if not 0 < self.deadline <= 1:
            raise UserError(f"deadline: expected 0 < deadline <= 1, got {self.deadline}")
