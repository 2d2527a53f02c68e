"""The flags of ISTA-NAS in two stages and in one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

from sparsenas.errors import UserError, check_at_least

Dictionary = Literal["uniform", "tight"]


@dataclass(frozen=True)
class CodeFlags(ABC):
    """How choices are coded, and how the codes learn."""

    dictionary: Dictionary = "uniform"
    """Random matrix A of each choice. uniform = numbers from 0 to 1, as published; tight = a tight frame of unit
    columns. Of random pairs among 14, 21, 28 and 35 options, uniform recovers 91, 79, 63 and 55 %, tight 94, 86, 79 and
    71 %"""
    dimension: int = 7
    """Length of the compressed variables b; at most the number of options of a choice is used"""
    sparsity: float = 1e-5
    """Weight of the 1-norm of z, above 0"""
    start: float = 1e-3
    """Standard deviation of b at the start, above 0. Where one option of a choice runs, b starts at a column of its
    dictionary"""
    lr: float = 6e-4
    """Learning rate of Adam for b"""
    weight_decay: float = 1e-3
    """Weight decay of b"""
    distinct_sources: bool = False
    """DARTS's rule: the options that a node keeps read distinct predecessors"""

    @property
    def least_running(self) -> int:
        """The least number of options of a choice that run in the search."""
        return 1

    @abstractmethod
    def __post_init__(self) -> None:
        check_at_least(vars(self), {"dimension": 1, "lr": 0, "weight_decay": 0})
        if self.dictionary not in get_args(Dictionary):
            raise UserError(f"dictionary: expected {' or '.join(get_args(Dictionary))}, got {self.dictionary!r}")
        for name in ("sparsity", "start"):
            if not vars(self)[name] > 0:
                raise UserError(f"{name}: expected > 0, got {vars(self)[name]}")


@dataclass(frozen=True)
class IstaFlags(CodeFlags):
    """Flags of ISTA-NAS in two stages."""

    running: int = 2
    """Least number of options of a choice that run in the search. Of a choice that keeps fewer, the next strongest run
    too, so that they are compared; 1 = the kept ones only"""

    @property
    def least_running(self) -> int:
        """The least number of options of a choice that run in the search."""
        return self.running

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(vars(self), {"running": 1})


@dataclass(frozen=True)
class OneStageFlags(CodeFlags):
    """Flags of ISTA-NAS in one stage."""

    lr: float = 3e-4
    rest: float = 1e-3
    """A choice is frozen after an epoch in which its z moved by at most this distance"""
    latest: float = 0.5
    """Share of the epochs after which the schedules of the found network begin at the latest, above 0 and at most 1.
    Choices that still move are frozen an epoch earlier"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(vars(self), {"rest": 0})
        if not 0 < self.latest <= 1:
            raise UserError(f"latest: expected 0 < latest <= 1, got {self.latest}")
