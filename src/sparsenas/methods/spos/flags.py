"""The flags of single path one-shot and of random search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from sparsenas.errors import UserError, check_at_least


@dataclass(frozen=True)
class PathFlags(ABC):
    """How paths are sampled while the supernet is trained."""

    fair: bool = False
    """FairNAS strict fairness: each option is sampled once per round, one path per step"""
    bins: int = 0
    """Constraint sampling: a bin of a cost is sampled first, then a path in it; number of bins. 0 = uniform sampling"""
    bin_cost: str = "flops"
    """Cost of constraint sampling"""
    bin_range: tuple[float, float] | None = None
    """Lowest and highest cost of constraint sampling, as LOW,HIGH; by default from the budget and the space"""

    @abstractmethod
    def __post_init__(self) -> None:
        check_at_least(vars(self), {"bins": 0})
        if self.fair and self.bins:
            raise UserError(f"fair: expected false with {self.bins} bins, got true")
        if self.bin_range is not None and not self.bin_range[0] < self.bin_range[1]:
            raise UserError(f"bin_range: expected LOW,HIGH with LOW < HIGH, got {','.join(map(str, self.bin_range))}")


@dataclass(frozen=True)
class SposFlags(PathFlags):
    """Flags of SPOS: how paths are sampled, and the evolution."""

    population: int = 50
    """Architectures per generation of the evolution"""
    generations: int = 20
    """Generations after the first one, which is random"""
    parents: int = 10
    """Best architectures from which children are made"""
    mutants: int = 25
    """Children by mutation per generation"""
    crossovers: int = 25
    """Children by crossover per generation"""
    mutation: float = 0.1
    """Probability that a mutation samples a choice anew, from 0 to 1"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(vars(self), {"generations": 0, "parents": 1, "mutants": 0, "crossovers": 0})
        check_at_least(vars(self), {"population": 1})
        if self.population < (children := self.mutants + self.crossovers):
            raise UserError(
                f"population: expected >= {children}, got {self.population}; mutants + crossovers are part "
                "of it: lower --method.mutants and --method.crossovers too"
            )
        if not 0 <= self.mutation <= 1:
            raise UserError(f"mutation: expected 0 <= mutation <= 1, got {self.mutation}")


@dataclass(frozen=True)
class RandomFlags(PathFlags):
    """Flags of random search: how paths are sampled, and the number of evaluations."""

    evaluations: int = 1050
    """Random architectures that are scored"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(vars(self), {"evaluations": 1})
