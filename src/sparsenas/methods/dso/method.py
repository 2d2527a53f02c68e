"""DSO-NAS: pruning a completely connected network by direct sparse optimization (Zhang, Huang and Wang)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sparsenas.core.choice import Choices
from sparsenas.core.gate import Gates
from sparsenas.costs import Limits
from sparsenas.errors import UserError
from sparsenas.methods.base import Figures, Final, Method
from sparsenas.methods.dso.adaptive import Penalties
from sparsenas.methods.dso.apg import ApgNag
from sparsenas.methods.dso.budget_controller import BudgetController, Matrix
from sparsenas.methods.dso.flags import DsoFlags
from sparsenas.methods.dso.options import ScaledOptions
from sparsenas.methods.dso.steering import Steering

DSO = DsoFlags()
EPOCHS = 60


class Dso(Method):
    """DSO-NAS: every option has a scale, which an L1 penalty drives to exactly 0 unless the loss needs the option.

    First the complete network is pre-trained without scales. Then the weights learn on training images and the scales
    on validation images, in turn. Options of scale 0, and options isolated without them, are pruned for good.
    With a budget, the weight of the penalty is steered so that the budget is met in time. Where that takes a higher
    weight than that of the flags, the search is short, and all scales would reach 0 at about the same time. Then the
    weight stays that of the flags; from the second epoch of the search on, the cost may be at most a number that falls
    step by step from that of the complete network to the budget, and the options of the smallest scales are pruned to
    keep it. The step that meets the budget prunes no more options than needed. From then on the scales learn without a
    penalty. Every choice must be able to keep all of its options.

    The released code decays the scales of the stem's, the blocks' and the last batch norms in pre-training but not in
    the search; here the recipe's ``decay`` holds in both.
    """

    learns_on_val: ClassVar[bool] = True
    prunes: ClassVar[bool] = True

    penalty: Tensor
    """The weight of each scale in the penalty."""

    def __init__(
        self, choices: Choices, limits: Limits, seed: int, flags: DsoFlags = DSO, epochs: int = EPOCHS
    ) -> None:
        """Starts from the complete network; nothing depends on the seed.

        Raises ``UserError`` for choices that may not keep all of their options.
        """
        super().__init__(choices, limits, seed)
        _check(choices)
        self.flags, self.epochs, self.gamma, self.epoch = flags, epochs, flags.gamma, 0
        self.start = min(round(flags.pretrain * epochs), epochs - 1)
        self.deadline = min(self.start + max(1, round(flags.deadline * (epochs - self.start))), epochs)
        self.controller, self.penalties = BudgetController(limits), Penalties(limits.table, flags.adapt)
        self.options = ScaledOptions(limits.table, choices)
        self.steering = Steering(flags.lr, flags.momentum, self.deadline)
        self.register_buffer("penalty", torch.zeros(limits.table.encoding.width))
        self.budget_met = not self.controller.bounds
        self.most = float(self.controller.reach(np.ones((1, limits.table.encoding.width)))[0])
        """The reach of the complete network."""
        self.fixed_at: int | None = None
        self.short = False
        """Whether the search is too short for the penalty alone, so that the network must keep pace with the budget."""
        self.ranked = 0
        """Options that the budget pruned though their scales were above 0."""

    def gates(self) -> Gates:
        """The options that are not pruned, weighted by their scales; in pre-training all options, unweighted."""
        return self.options.gates(scaled=self.epoch >= self.start)

    def final(self) -> Final:
        """The options of scales above 0 that are not isolated, without the weakest ones where a budget asks for it.

        Their weights are their scales.
        """
        arch = self.options.arch(self._within_budget())
        return Final(arch, self.options.gates_of(arch, scaled=self.epoch >= self.start))

    def optimizer(self) -> ApgNag:
        """APG-NAG, as in the paper."""
        optimizer = ApgNag([self.options.scales], self.flags.lr, self.flags.momentum, self.penalty)
        optimizer.register_step_pre_hook(lambda *_: self.options.begin_step())
        optimizer.register_step_post_hook(lambda *_: self._end_step())
        self.options.optimizer = optimizer
        return optimizer

    def search_starts_at(self) -> int:
        """The first epoch with scales. The released code pre-trains in a job of its own, without clipping."""
        return self.start

    def takes_arch_step(self, epoch: int, step: int) -> bool:
        """Whether a step of the scales comes before this step of the weights."""
        return epoch >= self.start and step % (self.flags.period - 1) == 0

    def architecture_fixed_at(self) -> int | None:
        """The epoch after the one in which the budget was met; ``None`` until then, and without a budget."""
        return self.fixed_at

    def end_epoch(self, epoch: int) -> bool:
        """Prunes, and steers the penalty."""
        self.epoch = epoch + 1
        if self.epoch > self.start:
            self._prune()
            self.steering.end_epoch()
        if self.epoch > self.start and not self.budget_met:
            self._steer()
        else:
            self._penalize(0.0 if self.fixed_at is not None else self.gamma)
        return False

    def facts(self) -> Mapping[str, Any]:
        """The penalty, the costs that budgets bound, and the size of each block that is left."""
        row = self.options.kept()
        costs = self.limits.table.of_rows(row[None])
        bounded = {cost: float(costs[cost][0]) for cost in self.controller.bounds or ("flops",)}
        met, blocks = self.fixed_at is not None, self.options.survivors(self.options.arch(row))
        state = {"gamma": self.gamma, "budget_met": met, "options": int(row.sum()), "costs": bounded}
        return {"pruning": {**state, "blocks": blocks}}

    def figures(self) -> Figures:
        """The size of the network that is left, and the weight of the penalty."""
        state, table = self.facts()["pruning"], self.limits.table
        whole = {cost: float(values[0]) for cost, values in table.of_rows(np.ones((1, table.encoding.width))).items()}
        left = {part: sum(block[part] for block in state["blocks"]) for part in ("edges", "nodes")}
        shares = {cost: value / whole[cost] for cost, value in state["costs"].items()}
        shares |= {f"budget of {cost}": bound / whole[cost] for cost, bound in self.controller.bounds.items()}
        parts = {"left of all blocks": left} if state["blocks"] else {"options left": {"options": state["options"]}}
        return {**parts, "share of the complete network": shares, "penalty": {"gamma": self.gamma}}

    def summary(self) -> str:
        """The number of options that are left, and the epoch in which the budget was met."""
        left, options = int(self.options.kept().sum()), self.limits.table.encoding.width
        told = f"A penalty on the scales prunes the complete network: {left} of {options} options are left."
        return told if self.fixed_at is None else f"{told} The budget was met in epoch {self.fixed_at}."

    def get_extra_state(self) -> dict[str, Any]:
        """What is no tensor."""
        names = ("epoch", "budget_met", "short", "ranked", "fixed_at", "gamma")
        return {**{name: self.__dict__[name] for name in names}, "steering": self.steering.state()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores what is no tensor."""
        self.steering.load(state["steering"])
        self.__dict__.update({name: value for name, value in state.items() if name != "steering"})

    @torch.no_grad()
    def _end_step(self) -> None:
        """Keeps the options that must be kept, and of those at 0 as many as the budget leaves room for."""
        self.steering.steps += 1
        kept = self.options.kept()
        zeroed = self.options.zeroed(kept)
        kept_alive = zeroed if self.fixed_at is not None else self.controller.kept_alive(kept, zeroed)
        self.options.revive(kept_alive)
        kept[kept_alive] = 1
        kept = self._keep_pace(kept) if self.short and not self.budget_met else kept
        if not self.budget_met and zeroed.any() and self.controller.met(kept):
            strengths = self.options.before.cpu().numpy() / self.penalty.cpu().numpy().clip(1e-30)
            order = sorted(np.flatnonzero(zeroed & ~kept_alive).tolist(), key=lambda i: strengths[i])
            row = self.controller.drop(np.maximum(kept, zeroed), order, self.controller.band)
            self.options.revive((row > 0) & (kept == 0))
            if self.controller.met(row):
                self._fix(row, self.epoch + 1)
        if not self.budget_met and self.epoch == self.deadline - 1 and self.steering.epoch_steps:
            self._steer()
        elif self.gamma > 0 and self.penalties.every_step:
            self._penalize(self.gamma)

    def _keep_pace(self, kept: Matrix) -> Matrix:
        """Prunes the weakest options where the network costs more than it may by now; returns what is kept."""
        ceiling = self.steering.ceiling(self.most, self.epoch, self.start)
        if self.controller.met(kept, ceiling):
            return kept
        row = self.controller.drop_weakest(kept, self.options.values() / self.penalties.at(kept), ceiling)
        self.ranked += int((row < kept).sum())
        self.options.prune(row)
        return self.options.kept()

    def _prune(self) -> None:
        """At the end of an epoch: prunes if it is time to, and meets the budget at the deadline."""
        last = self.epoch == self.epochs
        if not self.budget_met and (last or self.epoch >= self.deadline):
            self._fix(self._within_budget(), self.epoch)
        elif last or (self.epoch - self.start) % self.flags.prune_every == 0:
            self.options.prune(self.options.kept())

    def _within_budget(self) -> Matrix:
        """The options kept, without the weakest ones where they exceed the budget."""
        return self.controller.drop_weakest(self.options.kept(), self.options.values())

    def _fix(self, row: Matrix, epoch: int) -> None:
        """Makes ``row`` the architecture; epochs from ``epoch`` on are trained with it."""
        self.ranked += int(((self.options.kept() > 0) & (row == 0)).sum())
        self.options.prune(row)
        self.budget_met, self.fixed_at = True, epoch
        self._penalize(0.0)

    def _steer(self) -> None:
        """Sets gamma so that the budget is met at the deadline; in a short search not above that of the flags."""
        kept = self.options.kept()
        distance = self.controller.needed(kept, self.options.values() / self.penalties.at(kept))
        gamma = self.steering.gamma(distance, self.epoch)
        self.short |= self.steering.steps == 0 and gamma > self.flags.gamma
        self._penalize(min(gamma, self.flags.gamma) if self.short else gamma)

    def _penalize(self, gamma: float) -> None:
        self.gamma = gamma
        self.penalty.copy_(gamma * torch.from_numpy(self.penalties.at(self.options.kept())))


def _check(choices: Choices) -> None:
    for choice in choices.values():
        if choice.most < len(choice.options):
            raise UserError(
                f"--method: choice {choice.name!r} keeps {choice.least} to {choice.most} of {len(choice.options)} "
                "options; DSO-NAS starts from all and needs choices that may keep all, as in the space dso, and open "
                "with --space.groups true"
            )
