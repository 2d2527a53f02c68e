"""Choices as sparse codes of compressed variables, which both forms of ISTA-NAS learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Picks
from sparsenas.core.gate import Gate, Gates, unweighted
from sparsenas.costs import Limits
from sparsenas.errors import UserError
from sparsenas.methods.base import Final
from sparsenas.methods.constrained_argmax import Strengths, best_arch_within_budget, sources, topk_picks
from sparsenas.methods.ista.flags import CodeFlags, Dictionary
from sparsenas.methods.ista.lasso import Matrix, lasso

FROZEN = 1e6
"""Factor of the strengths of frozen choices, so that no budget displaces their options."""


class Code(nn.Module):
    """One choice as a sparse code. b is learned; the strongest entries of z = argmin 1/2 ||A z - b||^2 + lam ||z||_1
    are the options kept.

    While the support S is fixed, the weights of its options are a_c^T b - sum_{i in S} E_{i,c} z_i with E = A^T A - I.
    The second term is constant, so the gradient reaches b through A_S alone. If b = A z_S, the weights are z_c.
    """

    dictionary: Tensor
    solution: Tensor
    kept: Tensor
    bias: Tensor

    def __init__(self, dictionary: Matrix, start: np.ndarray[Any, Any]) -> None:
        super().__init__()
        self.register_buffer("dictionary", torch.tensor(dictionary, dtype=torch.float32))
        self.compressed = nn.Parameter(torch.tensor(start, dtype=torch.float32))
        self.register_buffer("solution", torch.zeros(dictionary.shape[1]))
        self.register_buffer("kept", torch.zeros(dictionary.shape[0], 0), persistent=False)
        self.register_buffer("bias", torch.zeros(0), persistent=False)

    def solve(self, lam: float) -> float:
        """Solves for z; returns the distance by which it moved."""
        a, b = (t.detach().cpu().double().numpy() for t in (self.dictionary, self.compressed))
        before = self.solution.clone()
        self.solution.copy_(torch.from_numpy(lasso(a, b, lam)))
        return float((self.solution - before).norm())

    def residual(self, picks: Picks) -> float:
        """The norm of A z - b with only ``picks`` of z, as a share of the norm of b."""
        z = torch.zeros_like(self.solution)
        z[list(picks)] = self.solution[list(picks)]
        missed = (self.dictionary @ z - self.compressed.detach()).norm()
        return float(missed / self.compressed.detach().norm().clamp_min(1e-30))

    def strengths(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The magnitude of every option in z."""
        magnitudes: np.ndarray[Any, np.dtype[np.float64]] = np.abs(self.solution.cpu().double().numpy())
        return magnitudes

    def fix_support(self, picks: Picks) -> None:
        """Fixes the options that run."""
        self.picks = picks
        index = torch.tensor(picks, device=self.dictionary.device)
        self.kept = self.dictionary[:, index]
        z = self.solution[index]
        self.bias = self.kept.T @ (self.kept @ z) - z

    def weights(self) -> Tensor:
        """The weights of the options that run."""
        return self.kept.T @ self.compressed - self.bias


class Codes(nn.Module):
    """The codes of all choices, and the support that runs until z is solved again: the strongest within the budgets."""

    def __init__(self, limits: Limits, seed: int, flags: CodeFlags) -> None:
        """Draws the dictionaries and the first b. Raises ``UserError`` for choices of varying size."""
        super().__init__()
        self.limits, self.sparsity, distinct = limits, flags.sparsity, flags.distinct_sources
        self.running = flags.least_running
        self.groups = {name: sources(choice) for name, choice in limits.choices.items()} if distinct else {}
        self.each = nn.ModuleList()
        for i, choice in enumerate(limits.choices.values()):
            if not choice.least == choice.most >= 1:
                raise UserError(
                    f"--method: choice {choice.name!r} keeps {choice.least} to {choice.most} options; ISTA-NAS needs "
                    "choices of a fixed number, as in the spaces darts and nasbench_macro"
                )
            rng = np.random.default_rng([seed, i])
            a = draw_dictionary(flags.dictionary, min(flags.dimension, len(choice.options)), len(choice.options), rng)
            alone = max(choice.most, self.running) == 1
            self.each.append(Code(a, a[:, int(rng.integers(a.shape[1]))] if alone else _random(a, flags.start, rng)))
        self.unweighted = unweighted(limits.table.net)
        self.frozen: set[str] = set()
        self.arch: Arch | None = None
        self.facts: dict[str, Any] = {}
        """Facts about the last solution, for the log."""
        self.changes = 0
        """Changes of supports since the start, over all recoveries."""
        self.solve()
        self.start = self.support()
        self.register_load_state_dict_post_hook(_fix_support)  # type: ignore[no-untyped-call]

    def items(self) -> Iterator[tuple[str, Code]]:
        """The codes by the names of their choices."""
        for name, code in zip(self.limits.choices, self.each, strict=True):
            assert isinstance(code, Code)
            yield name, code

    def gates(self) -> Gates:
        """The options that run with their weights, through which b learns unless it is frozen."""
        gates = {}
        for name, code in self.items():
            weights = code.weights()
            constant = name in self.frozen or name in self.unweighted
            gates[name] = Gate(code.picks, weights.detach() if constant else weights)
        return gates

    def final(self) -> Final:
        """The support with its weights."""
        arch, gates = self.support(), self.gates()
        kept = {name: [gate.picks.index(pick) for pick in arch[name]] for name, gate in gates.items()}
        return Final(arch, {name: Gate(arch[name], code.weights().detach()[kept[name]]) for name, code in self.items()})

    def _running(self, name: str, code: Code) -> Picks:
        """The support of a choice, and so many of the strongest other options that enough run to be compared."""
        support = self.support()[name]
        if name in self.frozen or name in self.unweighted:
            return support
        others = [pick for pick in np.argsort(-code.strengths(), kind="stable").tolist() if pick not in support]
        return tuple(sorted([*support, *others[: max(0, self.running - len(support))]]))

    def support(self) -> Arch:
        """The support."""
        assert self.arch is not None
        return self.arch

    def solve(self) -> dict[str, float]:
        """Solves for z where it is not frozen and fixes the new support; returns the distance by which each z moved."""
        moved = {name: code.solve(self.sparsity) for name, code in self.items() if name not in self.frozen}
        strengths = {name: code.strengths() for name, code in self.items()}
        top = 1 + max(float(strength.sum()) for strength in strengths.values())
        for name in self.frozen:
            strengths[name][list(self.support()[name])] += FROZEN * top
        before, self.arch = self.arch, best_arch_within_budget(self.limits, strengths, self.arch, self.groups)
        self.fix_support()
        self.facts = self._facts(before, moved, strengths)
        self.changes += 0 if before is None else self.facts["changed"]
        return moved

    def _facts(self, before: Arch | None, moved: Mapping[str, float], strengths: Strengths) -> dict[str, Any]:
        """Facts per choice: the options kept, the distance by which z moved, and the residuals of z and of its support.

        Also the number of supports that changed, and the choices whose strongest support a budget forbids.
        """
        arch, codes = self.support(), dict(self.items())
        return {
            "kept": arch.to_json(),
            "changed": sum(before is None or before[name] != picks for name, picks in arch.items()),
            "displaced": [
                name
                for name, choice in arch.choices.items()
                if arch[name] != topk_picks(choice, strengths[name], self.groups.get(name))
            ],
            "frozen": sorted(self.frozen),
            "moved": {name: _short(distance) for name, distance in moved.items()},
            "residual": {name: _short(code.residual(tuple(range(len(code.solution))))) for name, code in codes.items()},
            "gap": {name: _short(codes[name].residual(picks)) for name, picks in arch.items()},
        }

    def figures(self) -> dict[str, dict[str, float]]:
        """How many choices changed and are frozen, and the mean distances of the last recovery."""
        distances = {"z moved": "moved", "residual": "residual", "gap on the support": "gap"}
        means = {name: fmean(self.facts[key].values()) for name, key in distances.items() if self.facts[key]}
        return {
            "choices": {"support changed": self.facts["changed"], "frozen": len(self.facts["frozen"])},
            "mean distance": means,
        }

    def summary(self) -> str:
        """How many choices are frozen, how well the supports solve for b, and how many a budget displaces."""
        gap, displaced = fmean(self.facts["gap"].values()), len(self.facts["displaced"])
        told = (
            f"The method learns a sparse code per choice: {len(self.each)} choices, {len(self.frozen)} of them frozen."
        )
        told += f" On the supports alone A z differs from b by {gap:.1%} of its length."
        if displaced:
            told += f" A budget forbids the strongest support of {displaced} choices; the strongest legal one runs."
        return told

    def warning(self) -> str:
        """Says so where supports are those of the random start, or where z has fewer entries than a choice keeps."""
        told, kept = [], self.limits.choices
        if self.support() == self.start:
            how = "the supports came back to it" if self.changes else "no support ever changed"
            told.append(f"The architecture is the random start of the search: {how}.")
        if few := sum(int(code.solution.count_nonzero()) < kept[name].most for name, code in self.items()):
            told.append(f"In {few} of {len(kept)} choices z is 0, or has too few entries: what they keep is arbitrary.")
        return " ".join(told)

    def fix_support(self) -> None:
        """Fixes the options of every code that run until z is solved again."""
        for name, code in self.items():
            code.fix_support(self._running(name, code))

    def freeze(self, name: str) -> None:
        """Keeps b and z of a choice as they are, for good."""
        self.frozen.add(name)
        self.facts["frozen"] = sorted(self.frozen)

    def get_extra_state(self) -> dict[str, Any]:
        """What is no tensor."""
        arch = {name: list(picks) for name, picks in self.support().items()}
        return {"arch": arch, "frozen": sorted(self.frozen), "changes": self.changes}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores what is no tensor. Names are objects of the choices, since saved files depend on shared objects."""
        self.arch = Arch(self.limits.choices, state["arch"])
        self.frozen = {name for name in self.limits.choices if name in state["frozen"]}
        self.changes = state.get("changes", 0)


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _fix_support(codes: nn.Module, _: object) -> None:
    assert isinstance(codes, Codes)
    codes.fix_support()


def draw_dictionary(kind: Dictionary, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
    """A random dictionary of shape (rows, columns); see ``Ista``."""
    if kind == "uniform":
        return rng.random((rows, columns))
    a = rng.standard_normal((rows, columns))
    for _ in range(100):  # in turn the nearest tight frame and unit columns
        u, _, v = np.linalg.svd(a / np.linalg.norm(a, axis=0), full_matrices=False)
        a = u @ v
    unit: Matrix = a / np.linalg.norm(a, axis=0)
    return unit


def _random(a: Matrix, start: float, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return start * rng.standard_normal(len(a))
