"""Choices as learned distributions over their options, which DARTS and GDAS share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from sparsenas.core.choice import Choice, Choices
from sparsenas.core.gate import unweighted
from sparsenas.costs import Limits
from sparsenas.errors import UserError
from sparsenas.methods.base import Figures, Final
from sparsenas.methods.constrained_argmax import best_arch_within_budget, sources

START = 1e-3
"""Standard deviation of the logits at the start, as in the released code of DARTS."""
BETAS = (0.5, 0.999)


class Alphas(nn.Module):
    """The logits alpha of every option; a softmax makes them probabilities.

    The softmax is over all options of a choice, or over those that read one predecessor. An operation may be left out:
    its options then have the probability 0.
    """

    def __init__(self, limits: Limits, seed: int, method: str, distinct_sources: bool, without: str = "") -> None:
        """Draws the first logits; ``without`` names the operation that is left out.

        Raises ``UserError`` for choices that ``method`` cannot learn, or that need what is left out.
        """
        super().__init__()
        self.limits, constant = limits, unweighted(limits.table.net)
        for name, choice in limits.choices.items():
            if not choice.least == choice.most >= 1:
                raise UserError(
                    f"--method: choice {name!r} keeps {choice.least} to {choice.most} options; {method} needs choices "
                    "of a fixed number, as in the spaces darts and nasbench_macro"
                )
            if name in constant:
                raise UserError(
                    f"--method: choice {name!r} is no choice among operations: its module takes no weights, so that "
                    f"{method} cannot learn it; expected a space such as darts or nasbench_macro, or a method such as "
                    "spos"
                )
        self.groups = {n: sources(choice) for n, choice in limits.choices.items()} if distinct_sources else {}
        self.without = {name: _options_of(without, choice) for name, choice in limits.choices.items()}
        _check_without(without, self.without, limits.choices, self.groups)
        draws = (np.random.default_rng([seed, i]) for i in range(len(limits.choices)))
        counts = (len(choice.options) for choice in limits.choices.values())
        self.each = nn.ParameterList(
            nn.Parameter(torch.tensor(START * rng.standard_normal(n), dtype=torch.float32))
            for rng, n in zip(draws, counts, strict=True)
        )
        self.start = self.final().arch

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """The logits by the names of their choices; those of options that are left out are minus infinity."""
        for (name, without), alpha in zip(self.without.items(), self.each, strict=True):
            if without:
                yield name, alpha.index_fill(0, torch.tensor(without, device=alpha.device), -math.inf)
            else:
                yield name, alpha

    def softmax(self, name: str, logits: Tensor) -> Tensor:
        """The probabilities of logits of a choice, of shape (options,)."""
        return grouped_softmax(logits, self.groups.get(name, (0,) * len(logits)))

    def final(self) -> Final:
        """The options of the highest probabilities within the budgets; they run with weight 1.

        An option that is left out is kept only where a budget leaves nothing else.
        """
        with torch.no_grad():
            strengths = {n: self.softmax(n, alpha).cpu().double().numpy() for n, alpha in self.items()}
        most = sum(choice.most for choice in self.limits.choices.values())
        for name, without in self.without.items():
            if without:  # each of the others counts more than all probabilities together
                strengths[name][np.delete(np.arange(len(strengths[name])), without)] += 1 + most
        arch = best_arch_within_budget(self.limits, strengths, groups=self.groups)
        return Final(arch, arch.gates())

    def adam(self, lr: float, weight_decay: float) -> Adam:
        """Adam as in the released codes."""
        return Adam(self.parameters(), lr, betas=BETAS, weight_decay=weight_decay)

    def facts(self) -> dict[str, Any]:
        """The options that would be kept now, and the probabilities of all."""
        probabilities = {n: [_short(p) for p in self.softmax(n, a).tolist()] for n, a in self.items()}
        return {"kept": self.final().arch.to_json(), "probabilities": probabilities}

    def warning(self) -> str:
        """Says so where the most probable options are those of the random start."""
        same = self.final().arch == self.start
        return "The architecture is that of the random logits at the start of the search." if same else ""

    def figures(self) -> Figures:
        """The kept options by operation, and the mean entropy of the choices as a share of the highest."""
        kept = [label for labels in self.final().arch.to_json().values() for label in _listed(labels)]
        labels = [label for choice in self.limits.choices.values() for label in choice.options]
        operations = dict.fromkeys(label.rpartition(":")[2] for label in labels)
        counts = {op: float(sum(label.rpartition(":")[2] == op for label in kept)) for op in operations}
        return {"options kept": counts, "mean entropy": {"share of the highest": self.entropy()}}

    def entropy(self) -> float:
        """The mean entropy of the softmaxes over the entropy of equal probabilities; 0 = every choice is certain."""
        shares = []
        for name, alpha in self.items():
            p = self.softmax(name, alpha.detach()).double().cpu()
            group = np.delete(self.groups.get(name, (0,) * len(p)), self.without[name])
            sizes = np.unique(group, return_counts=True)[1]
            highest = float(np.log(sizes).sum())
            shares.append(float(torch.special.entr(p).sum()) / highest if highest > 0 else 0.0)
        return fmean(shares)


def grouped_softmax(logits: Tensor, groups: Sequence[int]) -> Tensor:
    """The softmax of the logits of each group; all have shape (options,)."""
    found = torch.zeros_like(logits)
    for group in sorted(set(groups)):
        index = torch.tensor([i for i, g in enumerate(groups) if g == group], device=logits.device)
        found = found.index_put((index,), logits[index].softmax(0))
    return found


def _options_of(operation: str, choice: Choice) -> list[int]:
    """The options of an operation, from labels such as none or 1:none."""
    return [i for i, label in enumerate(choice.options) if operation and label.rpartition(":")[2] == operation]


def _check_without(
    operation: str, without: Mapping[str, Sequence[int]], choices: Choices, groups: Mapping[str, Sequence[int]]
) -> None:
    """Raises ``UserError`` unless some choice has the operation, and every choice and group has enough others."""
    if operation and not any(without.values()):
        operations = dict.fromkeys(label.rpartition(":")[2] for c in choices.values() for label in c.options)
        raise UserError(
            f"--method.without: expected an operation of the space ({', '.join(operations)}), got {operation!r}"
        )
    for name, choice in choices.items():
        group = groups.get(name, (0,) * len(choice.options))
        others = np.delete(group, without[name])
        if len(others) < choice.most or set(others) != set(group):
            raise UserError(f"--method.without: choice {name!r} needs {operation!r}: too few options are left")


def _listed(labels: str | list[str]) -> list[str]:
    return [labels] if isinstance(labels, str) else labels


def _short(value: float) -> float:
    return float(f"{value:.4g}")
