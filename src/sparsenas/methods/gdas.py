"""GDAS: sampled options run, and learn through a Gumbel softmax (Dong and Yang, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from sparsenas.core.choice import Choices, Picks
from sparsenas.core.gate import Gate, Gates
from sparsenas.costs import Limits
from sparsenas.errors import UserError, check_at_least
from sparsenas.methods.base import Figures, Final, Method
from sparsenas.methods.relaxed import Alphas


@dataclass(frozen=True)
class GdasFlags:
    """Flags of GDAS."""

    lr: float = 3e-4
    """Learning rate of Adam for the logits"""
    weight_decay: float = 1e-3
    """Weight decay of the logits"""
    tau_start: float = 10.0
    """Temperature of the Gumbel softmax in the first epoch, above 0; it falls linearly"""
    tau_end: float = 0.1
    """Temperature in the last epoch, above 0"""
    pretrain: float = 0.0
    """Share of the epochs in which the weights learn alone, on sampled options; from 0 to below 1"""
    without: str = ""
    """Operation that is left out, such as none: never sampled, and kept only where a budget leaves nothing else"""
    distinct_sources: bool = False
    """DARTS's rule for options such as 1:skip_connect: one operation is sampled for each predecessor, and the options
    that a node keeps in the end read distinct predecessors"""

    def __post_init__(self) -> None:
        check_at_least(vars(self), {"lr": 0, "weight_decay": 0})
        for name in ("tau_start", "tau_end"):
            if not vars(self)[name] > 0:
                raise UserError(f"{name}: expected > 0, got {vars(self)[name]}")
        if not 0 <= self.pretrain < 1:
            raise UserError(f"pretrain: expected 0 <= pretrain < 1, got {self.pretrain}")


GDAS = GdasFlags()


class Gdas(Method):
    """GDAS: in each step sampled options run, with weight 1; logits learn through the Gumbel softmax behind the sample.

    The logits learn on validation images, the weights on training images, each step with a new sample. A choice that
    keeps k options samples k without replacement. In the end each choice keeps its most probable options. For choices
    among operations, of a fixed number of options.
    """

    learns_on_val: ClassVar[bool] = True

    def __init__(self, choices: Choices, limits: Limits, seed: int, flags: GdasFlags = GDAS, epochs: int = 1) -> None:
        """``epochs`` of the training, over which the temperature falls.

        Raises ``UserError`` for choices of varying size, whose modules take no weights, or that need what is left out.
        """
        super().__init__(choices, limits, seed)
        self.alphas, self.flags = Alphas(limits, seed, "GDAS", flags.distinct_sources, flags.without), flags
        self.epochs, self.epoch, self.rng = epochs, 0, np.random.default_rng([seed, len(choices)])

    @property
    def tau(self) -> float:
        """The temperature of this epoch."""
        share = min(1.0, self.epoch / max(1, self.epochs - 1))
        return self.flags.tau_start + (self.flags.tau_end - self.flags.tau_start) * share

    def gates(self) -> Gates:
        """A new sample, whose weights are 1 and have the gradient of the Gumbel softmax."""
        return {name: self._sampled(name, alpha) for name, alpha in self.alphas.items()}

    def final(self) -> Final:
        """The most probable options within the budgets."""
        return self.alphas.final()

    def optimizer(self) -> Optimizer:
        """Adam, as in the released code."""
        return self.alphas.adam(self.flags.lr, self.flags.weight_decay)

    def takes_arch_step(self, epoch: int, step: int) -> bool:
        """Whether the pretraining is over."""
        return epoch >= round(self.flags.pretrain * self.epochs)

    def end_epoch(self, epoch: int) -> bool:
        """Lowers the temperature."""
        self.epoch = epoch + 1
        return False

    def facts(self) -> Mapping[str, Any]:
        """The most probable options, all probabilities, and the temperature of the next epoch."""
        return {**self.alphas.facts(), "tau": self.tau}

    def figures(self) -> Figures:
        """The most probable options by operation, and the entropy."""
        return self.alphas.figures()

    def summary(self) -> str:
        """How certain the choices are."""
        entropy = f"The entropy of the choices is {self.alphas.entropy():.0%} of the highest on average."
        return f"Sampled options run. {entropy}"

    def warning(self) -> str:
        """Says so where the most probable options are those of the start."""
        return self.alphas.warning()

    def get_extra_state(self) -> dict[str, Any]:
        """What decides the next samples."""
        return {"epoch": self.epoch, "rng": self.rng.bit_generator.state}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continues from ``state``."""
        self.epoch, self.rng.bit_generator.state = state["epoch"], state["rng"]

    def _sampled(self, name: str, alpha: Tensor) -> Gate:
        noise = torch.tensor(self.rng.gumbel(size=len(alpha)), dtype=alpha.dtype, device=alpha.device)
        noisy = alpha + noise
        picks = self._greatest(name, noisy)
        soft = self.alphas.softmax(name, noisy / self.tau)[list(picks)]
        return Gate(picks, 1 + (soft - soft.detach()))

    def _greatest(self, name: str, noisy: Tensor) -> Picks:
        """The options of the greatest noisy logits: the number that the choice keeps, or one for each predecessor."""
        order, groups = noisy.detach().argsort(descending=True).tolist(), self.alphas.groups.get(name)
        kept = order[: self.choices[name].most] if groups is None else {groups[i]: i for i in reversed(order)}.values()
        return tuple(sorted(kept))
