"""DARTS: every option runs, weighted by a softmax that learns on validation images (Liu et al., ICLR 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.optim import Optimizer

from sparsenas.core.choice import Choices
from sparsenas.core.gate import Gate, Gates
from sparsenas.costs import Limits
from sparsenas.errors import check_at_least
from sparsenas.methods.base import Figures, Final, Method
from sparsenas.methods.relaxed import Alphas


@dataclass(frozen=True)
class DartsFlags:
    """Flags of DARTS."""

    lr: float = 3e-4
    """Learning rate of Adam for the logits"""
    weight_decay: float = 1e-3
    """Weight decay of the logits"""
    distinct_sources: bool = False
    """DARTS's rule for options such as 1:skip_connect: a softmax for each predecessor, and the options that a node
    keeps read distinct predecessors"""

    def __post_init__(self) -> None:
        check_at_least(vars(self), {"lr": 0, "weight_decay": 0})


DARTS = DartsFlags()


class Darts(Method):
    """First-order DARTS: the softmax of the logits learns on validation images, the weights on training images.

    All options run in every step. In the end each choice keeps its most probable options. The search needs the memory
    and the time of all options; it is known to prefer skip connections. For choices among operations, of a fixed number
    of options.
    """

    learns_on_val: ClassVar[bool] = True

    def __init__(self, choices: Choices, limits: Limits, seed: int, flags: DartsFlags = DARTS) -> None:
        """Raises ``UserError`` for choices of varying size or whose modules take no weights."""
        super().__init__(choices, limits, seed)
        self.alphas, self.flags = Alphas(limits, seed, "DARTS", flags.distinct_sources), flags

    def gates(self) -> Gates:
        """All options, weighted by their probabilities."""
        return {n: Gate(tuple(range(len(a))), self.alphas.softmax(n, a)) for n, a in self.alphas.items()}

    def final(self) -> Final:
        """The most probable options within the budgets."""
        return self.alphas.final()

    def optimizer(self) -> Optimizer:
        """Adam, as in the paper."""
        return self.alphas.adam(self.flags.lr, self.flags.weight_decay)

    def facts(self) -> Mapping[str, Any]:
        """The most probable options, and all probabilities."""
        return self.alphas.facts()

    def figures(self) -> Figures:
        """The most probable options by operation, and the entropy."""
        return self.alphas.figures()

    def summary(self) -> str:
        """How certain the choices are."""
        return f"All options run. The entropy of the choices is {self.alphas.entropy():.0%} of the highest on average."

    def warning(self) -> str:
        """Says so where the most probable options are those of the start."""
        return self.alphas.warning()
