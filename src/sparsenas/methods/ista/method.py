"""ISTA-NAS: architectures as sparse codes (Yang et al., NeurIPS 2020), in two stages and in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch.optim import Adam, Optimizer

from sparsenas.core.choice import Choices
from sparsenas.core.gate import Gates
from sparsenas.costs import Limits
from sparsenas.methods.base import Figures, Final, Method
from sparsenas.methods.ista.codes import Codes
from sparsenas.methods.ista.flags import CodeFlags, IstaFlags, OneStageFlags

ISTA, ONE_STAGE = IstaFlags(), OneStageFlags()


class Ista(Method):
    """ISTA-NAS in two stages: b learns on validation images, the weights on training images. z is solved every epoch.

    For choices of a fixed number of options. A choice whose module reads no gate weights, such as a width, has no
    gradient and keeps its first picks.
    """

    learns_on_val: ClassVar[bool] = True

    def __init__(self, choices: Choices, limits: Limits, seed: int, flags: IstaFlags = ISTA) -> None:
        """Draws the dictionaries and the first b. Raises ``UserError`` for choices of varying size."""
        super().__init__(choices, limits, seed)
        self.codes, self.flags = Codes(limits, seed, flags), flags

    def gates(self) -> Gates:
        """The support of this epoch, with weights through which b learns."""
        return self.codes.gates()

    def final(self) -> Final:
        """The support of this epoch, the strongest one within the budgets, with its weights."""
        return self.codes.final()

    def optimizer(self) -> Optimizer:
        """Adam, as in the released code."""
        return _adam(self, self.flags)

    def facts(self) -> Mapping[str, Any]:
        """Facts about the last solution."""
        return {"codes": self.codes.facts}

    def figures(self) -> Figures:
        """How the supports change, and how well they are recovered."""
        return self.codes.figures()

    def summary(self) -> str:
        """The state of the codes."""
        return self.codes.summary()

    def warning(self) -> str:
        """Says so where the supports are those of the start."""
        return self.codes.warning()

    def end_epoch(self, epoch: int) -> bool:
        """Solves for z. The support changes only here."""
        self.codes.solve()
        return False


class IstaOneStage(Method):
    """ISTA-NAS in one stage: b and the weights learn from the same images. A choice whose z has come to rest is frozen.

    From then on its weights are constants, and the batch norms of its options learn their scale and shift. The epochs
    after all choices are frozen train the found network itself, with a falling learning rate and drop path, on all
    training images; it needs no retraining. The constants are folded into the last batch norms of the operations, which
    all have one with ``--space darts --space.closing_norms all --space.affine true``; without one, a factor is left.
    """

    one_stage: ClassVar[bool] = True
    freeze_norm_affine: ClassVar[bool] = True

    def __init__(
        self, choices: Choices, limits: Limits, seed: int, flags: OneStageFlags = ONE_STAGE, epochs: int = 0
    ) -> None:
        """Draws the dictionaries and the first b; ``epochs`` of the training, 0 = an unknown number.

        Raises ``UserError`` for choices of varying size.
        """
        super().__init__(choices, limits, seed)
        self.codes, self.flags = Codes(limits, seed, flags), flags
        self.last = round(flags.latest * epochs) if epochs else None
        self.since: int | None = None

    def gates(self) -> Gates:
        """The support of this epoch, with weights through which b learns."""
        return self.codes.gates()

    def final(self) -> Final:
        """The support of this epoch, the strongest one within the budgets, with its weights."""
        return self.codes.final()

    def optimizer(self) -> Optimizer:
        """Adam, as in the released code."""
        return _adam(self, self.flags)

    def architecture_fixed_at(self) -> int | None:
        """The second epoch with every choice frozen: the released code trains one more epoch of the search with it."""
        return self.since

    def facts(self) -> Mapping[str, Any]:
        """Facts about the last solution; none if all choices were frozen before."""
        return {"codes": self.codes.facts} if self.codes.facts["moved"] else {}

    def figures(self) -> Figures:
        """How the supports change, and how well they are recovered."""
        return self.codes.figures() if self.codes.facts["moved"] else {}

    def summary(self) -> str:
        """The state of the codes."""
        return self.codes.summary()

    def warning(self) -> str:
        """Says so where the supports are those of the start."""
        return self.codes.warning()

    def end_epoch(self, epoch: int) -> bool:
        """Solves for the z of choices that are not frozen, and freezes those that have come to rest."""
        for name, distance in self.codes.solve().items():
            if distance <= self.flags.rest or (self.last is not None and epoch + 2 >= self.last):
                self.codes.freeze(name)
        if self.since is None and len(self.codes.frozen) == len(self.choices):
            self.since = epoch + 2
        return False

    def get_extra_state(self) -> dict[str, Any]:
        """The epoch in which schedules begin."""
        return {"since": self.since}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores the epoch in which schedules begin."""
        self.since = state["since"]


def _adam(method: Method, flags: CodeFlags) -> Adam:
    return Adam(method.parameters(), flags.lr, betas=(0.5, 0.999), weight_decay=flags.weight_decay)
