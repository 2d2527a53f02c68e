"""ISTA-NAS: architectures as sparse codes (Yang et al., NeurIPS 2020), in two stages and in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch.optim import Adam, Optimizer

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.gate import Gates
from sparsenas.costs import Limits
from sparsenas.errors import UserError
from sparsenas.methods.base import Figures, Method
from sparsenas.methods.ista.codes import Codes, Dictionary


class Ista(Method):
    """ISTA-NAS in two stages: b learns on the held-out half, the weights on the other; z is recovered every epoch.

    For choices of a fixed number of options. A choice whose mechanism reads no weights, a width say, has no gradient
    and keeps its first answer.
    """

    learns_on_val: ClassVar[bool] = True

    def __init__(
        self,
        choices: Choices,
        limits: Limits,
        seed: int,
        dictionary: Dictionary = "uniform",
        dimension: int = 7,
        sparsity: float = 1e-5,
        start: float = 1e-3,
        lr: float = 6e-4,
        weight_decay: float = 1e-3,
        distinct_sources: bool = False,
    ) -> None:
        """Draws the dictionaries and the first b. Raises ``UserError`` for choices of varying size.

        Args:
            choices: the questions of the space.
            limits: the budgets over the cost table.
            seed: decides dictionaries and start.
            dictionary: uniform = numbers within 0..1, as published; tight = a random frame of unit columns, which
                recovers more (of random pairs among 14, 21, 28, 35 options 94, 86, 79, 71 % instead of 91, 79, 63, 55).
            dimension: length of the compressed variables; no more than a choice has options.
            sparsity: weight of the 1-norm.
            start: deviation of b at the start; where one option is kept, its weight scales all there is, and b starts
                as a column of the dictionary instead.
            lr: learning rate of Adam.
            weight_decay: weight decay of b.
            distinct_sources: DARTS's rule that the options a node keeps read distinct predecessors.
        """
        super().__init__(choices, limits, seed)
        self.codes = Codes(limits, seed, dictionary, dimension, sparsity, start, distinct_sources)
        self.adam = lr, weight_decay

    def gates(self) -> Gates:
        """The support of this epoch, with weights that b can learn from."""
        return self.codes.gates()

    def arch(self) -> Arch:
        """The strongest support of z within the budgets, which is the one that runs."""
        return self.codes.answer()

    def optimizer(self) -> Optimizer:
        """Adam, as published."""
        return _adam(self, *self.adam)

    def facts(self) -> Mapping[str, Any]:
        """Figures of the last recovery."""
        return {"codes": self.codes.facts}

    def figures(self) -> Figures:
        """How the supports change, and how well they are recovered."""
        return self.codes.figures()

    def summary(self) -> str:
        """The state of the codes."""
        return self.codes.summary()

    def end_epoch(self, epoch: int) -> bool:
        """Recovers z; only here may the support change."""
        self.codes.solve()
        return False


class IstaOneStage(Method):
    """ISTA-NAS in one stage: b and the weights learn from the same images; a choice whose z has come to rest is frozen.

    From then on its weights are constants and the batch norms of its options learn their scale and shift. The epochs
    left when all are frozen train the found network itself, with a falling learning rate and drop path, on all training
    images; it needs no retraining. The constants go into the batch norms that close the operations
    (``--space darts --space.closing_norms all --space.affine true`` has one everywhere), else a fixed factor is left.
    """

    one_stage: ClassVar[bool] = True
    freeze_norm_affine: ClassVar[bool] = True

    def __init__(
        self,
        choices: Choices,
        limits: Limits,
        seed: int,
        dictionary: Dictionary = "uniform",
        dimension: int = 7,
        sparsity: float = 1e-5,
        start: float = 1e-3,
        lr: float = 3e-4,
        weight_decay: float = 1e-3,
        distinct_sources: bool = False,
        rest: float = 1e-3,
        latest: float = 0.5,
        epochs: int = 0,
    ) -> None:
        """Draws the dictionaries and the first b. Raises ``UserError`` for choices of varying size.

        Args:
            choices: the questions of the space.
            limits: the budgets over the cost table.
            seed: decides dictionaries and start.
            dictionary: uniform = numbers within 0..1, as published; tight = a random frame of unit columns, which
                recovers more (of random pairs among 14, 21, 28, 35 options 94, 86, 79, 71 % instead of 91, 79, 63, 55).
            dimension: length of the compressed variables; no more than a choice has options.
            sparsity: weight of the 1-norm.
            start: deviation of b at the start; where one option is kept, its weight scales all there is, and b starts
                as a column of the dictionary instead.
            lr: learning rate of Adam.
            weight_decay: weight decay of b.
            distinct_sources: DARTS's rule that the options a node keeps read distinct predecessors.
            rest: a choice is frozen when z moves no more than this in an epoch.
            latest: share of the epochs after which the schedules of the found network begin at the latest; what still
                moves is frozen an epoch earlier.
            epochs: epochs of the training; 0 = no end that is known.
        """
        super().__init__(choices, limits, seed)
        if not (rest >= 0 and 0 < latest <= 1):
            raise UserError(f"--method: expected rest >= 0 and latest within (0, 1], got {rest} and {latest}")
        self.codes = Codes(limits, seed, dictionary, dimension, sparsity, start, distinct_sources)
        self.adam = lr, weight_decay
        self.rest, self.last = rest, round(latest * epochs) if epochs else None
        self.since: int | None = None

    def gates(self) -> Gates:
        """The support of this epoch, with weights that b can learn from."""
        return self.codes.gates()

    def arch(self) -> Arch:
        """The strongest support of z within the budgets, which is the one that runs."""
        return self.codes.answer()

    def optimizer(self) -> Optimizer:
        """Adam, as published."""
        return _adam(self, *self.adam)

    def architecture_fixed_at(self) -> int | None:
        """The second epoch with every choice frozen: the released code trains one more epoch of the search with it."""
        return self.since

    def facts(self) -> Mapping[str, Any]:
        """Figures of the last recovery; when all were frozen before it, none."""
        return {"codes": self.codes.facts} if self.codes.facts["moved"] else {}

    def figures(self) -> Figures:
        """How the supports change, and how well they are recovered."""
        return self.codes.figures() if self.codes.facts["moved"] else {}

    def summary(self) -> str:
        """The state of the codes."""
        return self.codes.summary()

    def end_epoch(self, epoch: int) -> bool:
        """Recovers z where it is not frozen, and freezes what has come to rest."""
        for name, distance in self.codes.solve().items():
            if distance <= self.rest or (self.last is not None and epoch + 2 >= self.last):
                self.codes.freeze(name)
        if self.since is None and len(self.codes.frozen) == len(self.choices):
            self.since = epoch + 2
        return False

    def get_extra_state(self) -> dict[str, Any]:
        """Since when all are frozen."""
        return {"since": self.since}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores since when all are frozen."""
        self.since = state["since"]


def _adam(method: Method, lr: float, weight_decay: float) -> Adam:
    return Adam(method.parameters(), lr, betas=(0.5, 0.999), weight_decay=weight_decay)
