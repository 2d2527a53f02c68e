"""The contract between a method and the loop that trains the supernet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

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


class Final(NamedTuple):
    """What a method hands on when its training ends."""

    arch: Arch
    """The architecture: legal, and within the budgets."""
    gates: Gates
    """How it runs on the supernet's weights: its picks, with a weight for each if the method learns weights."""


class Method(nn.Module, ABC):
    """A search method: proposes architectures, and learns them or searches them.

    ``gates`` are for training, ``final`` is the result. A method that learns its parameters from the network's loss
    returns weights that depend on them in ``gates``. A method has ``final`` or ``search``.

    ``parameters()`` are the architecture parameters; buffers and the extra state are the rest of its memory. Resuming
    needs ``state_dict()`` only. A method knows choices and costs, never networks. It is constructed as
    ``Name(choices, limits, seed, flags=Flags())``, where ``Flags`` is a dataclass whose fields are the flags
    ``--method.FIELD``, or with the flags as parameters of its own.
    """

    learns_on_val: ClassVar[bool] = False
    """Whether it learns on validation images."""
    one_stage: ClassVar[bool] = False
    """Whether the supernet's training ends with the trained network: on all training images, without retraining."""
    freeze_norm_affine: ClassVar[bool] = False
    """Whether batch norms in the options of a choice keep their scale and shift while the choice's weights learn."""

    prunes: ClassVar[bool] = False
    """Whether options that its gates leave out never return, so that their weights may be removed."""

    def __init__(self, choices: Choices, limits: Limits, seed: int) -> None:
        super().__init__()
        self.choices, self.limits, self.seed = choices, limits, seed

    @abstractmethod
    def gates(self) -> Gates:
        """The gates for the next training step.

        They may be relaxed: any options of a choice, more than an architecture keeps too, with a weight for each.
        Without weights the picks must be legal. Choices whose modules take no weights, such as a ``Width``, need legal
        picks, too (``core/gate.py::Gated.takes_weights``).
        """

    def final(self) -> Final | None:
        """The architecture now, with its gates; ``None`` if the method learns none and the supernet is searched."""
        return None

    def search(self, problem: SearchProblem, rng: np.random.Generator, choose: Parents | None = None) -> Search | None:
        """The search of the trained supernet, with parents chosen by ``choose``; ``None`` where ``final`` is used."""
        return None

    def optimizer(self) -> Optimizer | None:
        """The optimizer of the architecture parameters, if there are any."""
        return None

    @cached_property
    def own_optimizer(self) -> Optimizer | None:
        """The optimizer of ``optimizer()``, made once."""
        return self.optimizer()

    def architecture_fixed_at(self) -> int | None:
        """The first epoch that is trained with a fixed architecture; ``None`` while it is unknown.

        Schedules of learning rate and drop path begin there: at once if the method learns no architecture.
        """
        return 0

    def search_starts_at(self) -> int:
        """The epoch in which the search starts; before it the weights are pre-trained alone.

        Momentum starts anew there, and the recipe clips the values of gradients from there on only.
        """
        return 0

    def takes_arch_step(self, epoch: int, step: int) -> bool:
        """Whether a method that learns on validation images takes a step of its own before this step of the weights."""
        return True

    def facts(self) -> Mapping[str, Any]:
        """What the log keeps of an epoch, besides loss and accuracy."""
        return {}

    def figures(self) -> Figures:
        """Numbers of the last epoch for the report: a chart for each quantity, in it a line for each name."""
        return {}

    def summary(self) -> str:
        """The state of the search after the last epoch, for the report: a sentence or two."""
        return ""

    def warning(self) -> str:
        """Why the architecture of ``final`` is hardly a result of the search: a sentence, or nothing."""
        return ""

    def end_epoch(self, epoch: int) -> bool:
        """Called after every epoch; ``True`` ends the training."""
        return False
