"""The contract between a method and the loop that trains the supernet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import nn
from torch.optim import Optimizer

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.gate import Gates
from sparsenas.costs import Limits
from sparsenas.searching.evolution import Parents, Search, SearchProblem

Figures = dict[str, dict[str, float]]
"""Numbers by quantity and name."""


class Method(nn.Module, ABC):
    """How answers are proposed and learned.

    ``parameters()`` are the architecture parameters, buffers and the extra state are its memory: ``state_dict()`` is
    all that resuming needs. A method knows choices and costs, never networks. Every method is constructed as
    ``Name(choices, limits, seed, **its own flags)``.
    """

    learns_on_val: ClassVar[bool] = False
    """Whether it learns on the held-out half."""
    one_stage: ClassVar[bool] = False
    """Whether training the supernet trains the found network to its end, on all training images: no retraining then."""
    freeze_norm_affine: ClassVar[bool] = False
    """Whether batch norms in the options of a choice keep their scale and shift while the choice's weights learn."""

    prunes: ClassVar[bool] = False
    """Whether what its answers leave out never comes back, so that the network may forget it."""

    def __init__(self, choices: Choices, limits: Limits, seed: int) -> None:
        super().__init__()
        self.choices, self.limits, self.seed = choices, limits, seed

    @abstractmethod
    def gates(self) -> Gates:
        """The running answer for the next batch."""

    def arch(self) -> Arch | None:
        """The best legal answer now; ``None`` when the method learns none and the supernet is to be searched."""
        return None

    def search(self, problem: SearchProblem, rng: np.random.Generator, choose: Parents | None = None) -> Search | None:
        """How to search the trained supernet, parents taken by ``choose``; ``None`` when ``arch`` is the answer."""
        return None

    def optimizer(self) -> Optimizer | None:
        """The optimizer of the architecture parameters, if there are any."""
        return None

    def architecture_fixed_at(self) -> int | None:
        """The first epoch that is trained with the answer decided, ``None`` when it is not known yet.

        Schedules of learning rate and drop path begin there; at once for a method that trains a supernet to search it.
        """
        return 0

    def search_starts_at(self) -> int:
        """The epoch in which the search starts; before it the weights are pre-trained alone.

        Momentum starts anew there, and the recipe clips the values of gradients from there on only.
        """
        return 0

    def takes_arch_step(self, epoch: int, step: int) -> bool:
        """Whether a method that learns on the held-out half takes a step of its own before this one of the weights."""
        return True

    def facts(self) -> Mapping[str, Any]:
        """What the log keeps of an epoch besides loss and accuracy."""
        return {}

    def figures(self) -> Figures:
        """Numbers of the last epoch for the report: a chart for each quantity, in it a line for each name."""
        return {}

    def summary(self) -> str:
        """The state of the search after the last epoch, for the report: a sentence or two."""
        return ""

    def end_epoch(self, epoch: int) -> bool:
        """Called after every epoch; ``True`` = converged, the loop may end."""
        return False
