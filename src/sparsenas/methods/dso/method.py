"""DSO-NAS: pruning a completely connected network by direct sparse optimisation (Zhang, Huang and Wang)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize, meta_skeleton
from sparsenas.core.choice import Choices
from sparsenas.core.dag import Dag
from sparsenas.core.gate import Gate, Gates, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import Limits
from sparsenas.errors import UserError
from sparsenas.methods.base import Method
from sparsenas.methods.dso.adaptive import Adapt, Penalties
from sparsenas.methods.dso.apg import ApgNag
from sparsenas.methods.dso.budget_controller import BudgetController, Mask, Matrix

MOST_GAIN = 10.0
"""By how much gamma may exceed what the pace of an indifferent scale asks for."""
FLOOR = 1e-3
"""The scale of an option that must be kept though it is of no use."""


class Dso(Method):
    """DSO-NAS: every option has a scale, which an L1 penalty drives to exactly 0 unless the loss holds it up.

    First the complete network is trained without scales. Then steps of the weights and, on the held-out half, of the
    scales take turns; options of scale 0 and what is isolated without them are pruned for good. With a budget, the
    weight of the penalty is steered so that the budget is met in time, and of the options that reach 0 in the step
    that meets it only as many are dropped as it takes; after that the scales learn without a penalty. For choices
    that may keep all of their options.
    """

    learns_on_val: ClassVar[bool] = True
    prunes: ClassVar[bool] = True

    alive: Tensor
    penalty: Tensor

    def __init__(
        self,
        choices: Choices,
        limits: Limits,
        seed: int,
        epochs: int = 60,
        gamma: float = 1e-3,
        lr: float = 0.1,
        momentum: float = 0.9,
        period: int = 2,
        pretrain: float = 0.5,
        prune_every: int = 5,
        adapt: Adapt = "flops",
        deadline: float = 0.75,
    ) -> None:
        """Starts from the complete network. Raises ``UserError`` for choices that may not keep all of their options.

        Args:
            choices: the questions of the space.
            limits: the budgets over the cost table.
            seed: not used: the method draws nothing.
            epochs: passes over the images in all.
            gamma: weight of the L1 norm of the scales; with a budget only that of the first epoch with scales.
            lr: step size of the scales.
            momentum: momentum of the scales.
            period: of so many steps one is of the scales, the others of the weights.
            pretrain: share of the epochs in which the complete network is trained, without scales.
            prune_every: so many epochs pass between prunings.
            adapt: what gamma is multiplied by: flops = the share of its block's multiply-adds that is left;
                memory_access = that of an option's operation, relative to the dearest of its block; latency = from a
                half for the option that saves least time to 1 for the one that saves most; none = 1.
            deadline: share of the epochs with scales after which a budget is to be met.
        """
        super().__init__(choices, limits, seed)
        _check(choices, period, prune_every, pretrain, deadline, gamma, lr, momentum)
        self.epochs, self.gamma, self.rates = epochs, gamma, (lr, momentum)
        self.period, self.prune_every = period, prune_every
        self.first = min(round(pretrain * epochs), epochs - 1)
        self.deadline_epoch = min(self.first + max(1, round(deadline * (epochs - self.first))), epochs)
        self.goal, self.penalties = BudgetController(limits), Penalties(limits.table, adapt)
        self.meta_skeleton = [meta_skeleton(limits.table.net)]  # in a list, so that it is no part of this module
        self.scales = nn.Parameter(torch.ones(limits.table.options))
        self.register_buffer("alive", torch.ones(limits.table.options, dtype=torch.bool))
        self.register_buffer("penalty", torch.zeros(limits.table.options))
        self.epoch, self.steps, self.in_epoch = 0, 0, 0
        self.distance, self.gain = 0.0, 1.0
        self.budget_met, self.ranked = not self.goal.bounds, 0
        self.since: int | None = None
        self.steered: ApgNag | None = None
        self.before = self.scales.detach().clone()

    def gates(self) -> Gates:
        """What is alive, by its scales; the complete network without scales at first."""
        gates: dict[str, Gate] = {}
        alive = self.alive.cpu().numpy()
        for name, choice in self.choices.items():
            first = self.limits.table.columns[name]
            picks = np.flatnonzero(alive[first : first + len(choice.options)]).tolist()
            weights = self.scales[[first + pick for pick in picks]] if self.epoch >= self.first else None
            gates[name] = Gate(tuple(picks), weights)
        return gates

    def arch(self) -> Arch:
        """The options of scales above 0 but what is isolated; the weakest are left out where a budget asks for it."""
        return self._arch(self._ranked(self._kept()))

    def optimizer(self) -> ApgNag:
        """APG-NAG, as published."""
        self.steered = ApgNag([self.scales], *self.rates, self.penalty)
        self.steered.register_step_pre_hook(lambda *_: self._begin_step())
        self.steered.register_step_post_hook(lambda *_: self._end_step())
        return self.steered

    def search_starts_at(self) -> int:
        """The first epoch with scales. The released code pre-trains in a job of its own, without clipping."""
        return self.first

    def takes_arch_step(self, epoch: int, step: int) -> bool:
        """Whether this step of the weights comes after one of the scales."""
        return epoch >= self.first and step % (self.period - 1) == 0

    def architecture_fixed_at(self) -> int | None:
        """The epoch after the one in which the budget was met; ``None`` until then, and without a budget."""
        return self.since

    def end_epoch(self, epoch: int) -> bool:
        """Prunes, and steers the penalty."""
        self.epoch, searched = epoch + 1, epoch + 1 - self.first
        if searched <= 0:
            self._penalise(self.gamma)
            return False
        last = self.epoch == self.epochs
        if not self.budget_met and (last or self.epoch >= self.deadline_epoch):
            self._land(self._ranked(self._kept()), self.epoch)
        elif last or searched % self.prune_every == 0:
            self._prune(self._kept())
        self.in_epoch, self.steps = self.steps, 0
        if not self.budget_met:
            self._steer()
        elif self.goal.bounds:
            self._penalise(0.0)
        else:
            self._penalise(self.gamma)
        return False

    def facts(self) -> Mapping[str, Any]:
        """The penalty, the costs that budgets bound, and what is left of every block."""
        row = self._kept()
        costs = self.limits.table.of_rows(row[None])
        bounded = {cost: float(costs[cost][0]) for cost in self.goal.bounds or ("flops",)}
        left = survivors(self.meta_skeleton[0], self._arch(row))
        state = {"gamma": self.gamma, "budget_met": self.since is not None, "options": int(row.sum()), "costs": bounded}
        return {"pruning": {**state, "blocks": left}}

    def get_extra_state(self) -> dict[str, Any]:
        """What is no tensor."""
        names = ("epoch", "steps", "in_epoch", "budget_met", "ranked", "since", "gamma", "gain", "distance")
        return {name: self.__dict__[name] for name in names}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores what is no tensor."""
        self.__dict__.update(state)

    def _begin_step(self) -> None:
        self.before = self.scales.detach().clone()

    @torch.no_grad()
    def _end_step(self) -> None:
        """Keeps what must be kept, and meets the budget with no more zeros than it takes."""
        self.steps += 1
        kept, before = self._kept(), self.before.cpu().numpy()
        gone = self.alive.cpu().numpy() & (kept == 0) & (before > 0)
        kept_alive = gone if self.budget_met and self.goal.bounds else self.goal.kept_alive(kept, gone)
        self._revive(kept_alive)
        kept[kept_alive] = 1
        if not self.budget_met and gone.any() and self.goal.met(kept):
            by = before / self.penalty.cpu().numpy().clip(1e-30)
            order = sorted(np.flatnonzero(gone & ~kept_alive).tolist(), key=lambda i: by[i])
            row = self.goal.drop(np.maximum(kept, gone), order, self.goal.band)
            self._revive((row > 0) & (kept == 0))
            if self.goal.met(row):
                self._land(row, self.epoch + 1)
        if not self.budget_met and self.epoch == self.deadline_epoch - 1 and self.in_epoch:
            self._steer()
        elif self.gamma > 0 and self.penalties.every_step:
            self._penalise(self.gamma)

    def _kept(self) -> Matrix:
        """The options of scales above 0, encoded."""
        kept: Matrix = (self.alive & (self.scales.detach() > 0)).cpu().numpy().astype(float)
        return kept

    def _ranked(self, row: Matrix) -> Matrix:
        """``row`` without its weakest options, as few as meet the budget."""
        order = np.argsort(self.scales.detach().cpu().numpy(), kind="stable").tolist()
        order = [option for option in order if row[option] > 0]
        for band in (self.goal.band, 1.0):
            if not self.goal.met(row):
                row = self.goal.drop(row, order, band)
        return row

    def _arch(self, row: Matrix) -> Arch:
        return canonicalize(self.meta_skeleton[0], self.limits.table.decode(row))

    def _revive(self, options: Mask) -> None:
        """Gives options the scales back that they had before the step."""
        index = torch.from_numpy(np.flatnonzero(options)).to(self.scales.device)
        self.scales.data[index] = self.before[index]
        self._rest(index)

    def _rest(self, index: Tensor) -> None:
        if self.steered is not None:
            self.steered.velocity(self.scales)[index] = 0

    @torch.no_grad()
    def _prune(self, row: Matrix) -> None:
        """Drops for good what is not kept, and what is isolated then."""
        alive = self.limits.table.encode([self._arch(row)])[0] > 0
        self.alive.copy_(torch.from_numpy(alive))
        self.scales.data[~self.alive] = 0
        self.scales.data[self.alive & (self.scales == 0)] = FLOOR
        self._rest(torch.nonzero(~self.alive).flatten())

    def _land(self, row: Matrix, since: int) -> None:
        """From here on the architecture is ``row``; epochs from ``since`` on are trained with it."""
        self.ranked = int(((self._kept() > 0) & (row == 0)).sum())
        self._prune(row)
        self.budget_met, self.since = True, since
        self._penalise(0.0)

    def _steer(self) -> None:
        """Sets gamma so that at its pace the budget is met at the deadline.

        Where the loss is indifferent, a scale at rest falls in n steps by ``lr gamma / (1 - momentum)`` times its
        factor times ``n - momentum (1 - momentum^n) / (1 - momentum)``. Where it is not, gamma gains by as much as the
        last epoch fell short of its share.
        """
        left = max(1, self.in_epoch * (self.deadline_epoch - self.epoch) - self.steps)
        lr, momentum = self.rates
        effective = left - momentum * (1 - momentum**left) / (1 - momentum)
        kept, factors = self._kept(), self.penalties.at(self._kept())
        distance = self.goal.needed(kept, self.scales.detach().cpu().double().numpy() / factors)
        if self.distance > 0 and self.steps == 0:
            share = self.distance * self.in_epoch / (left + self.in_epoch)
            self.gain = min(max(self.gain * share / max(self.distance - distance, share / 2), 1.0), MOST_GAIN)
        self.distance = distance if self.steps == 0 else self.distance
        self._penalise(self.gain * distance * (1 - momentum) / (lr * effective))

    def _penalise(self, gamma: float) -> None:
        self.gamma = gamma
        factors = torch.from_numpy(self.penalties.at(self._kept()))
        self.penalty.copy_(gamma * factors)


def survivors(net: nn.Module, arch: Arch) -> list[dict[str, int]]:
    """How many edges and nodes are left of each block, a block's output being a node too."""
    set_gates(net, arch.gates())
    dags = [module for module in net.modules() if isinstance(module, Dag)]
    joins = [[join for join in dag.joins if isinstance(join, Join)] for dag in dags]
    edges = [sum(len(join.gate.picks) for join in each) for each in joins]
    return [{"edges": count, "nodes": len(dag.live())} for dag, count in zip(dags, edges, strict=True)]


def _check(choices: Choices, period: int, prune_every: int, pretrain: float, deadline: float, *positive: float) -> None:
    for choice in choices.values():
        if choice.most < len(choice.options):
            raise UserError(
                f"--method: choice {choice.name!r} keeps {choice.least} to {choice.most} of {len(choice.options)} "
                "options; DSO-NAS starts from all and needs choices that may keep all, as in the space dso"
            )
    if period < 2 or prune_every < 1 or not (0 <= pretrain < 1 and 0 < deadline <= 1 and min(positive) >= 0):
        raise UserError(
            "--method: expected period >= 2, prune_every >= 1, pretrain within [0, 1), deadline within (0, 1], "
            f"gamma, lr and momentum >= 0, "
            f"got {period}, {prune_every}, {pretrain}, {deadline}, {', '.join(map(str, positive))}"
        )
