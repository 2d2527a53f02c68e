"""Choices as sparse codes of compressed variables: what both forms of ISTA-NAS learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Picks
from sparsenas.core.gate import Gate, Gates
from sparsenas.costs import Limits
from sparsenas.errors import UserError
from sparsenas.methods.constrained_argmax import Strengths, best_arch_within_budget, topk_picks
from sparsenas.methods.ista.lasso import Matrix, lasso

Dictionary = Literal["uniform", "tight"]
FROZEN = 1e6
"""How many times stronger than all else the options of a frozen choice count, so that no budget displaces them."""


class Code(nn.Module):
    """One choice as a sparse code: b is learned, z = argmin 1/2 ||A z - b||^2 + lam ||z||_1 says what to keep.

    While the support S is kept, the weights of its options are a_c^T b - sum_{i in S} E_{i,c} z_i with E = A^T A - I,
    the second term being a constant: they are z_c where b = A z_S, and their gradient reaches b through A_S alone.
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
        """Solves for z; returns how far it moved."""
        a, b = (t.detach().cpu().double().numpy() for t in (self.dictionary, self.compressed))
        before = self.solution.clone()
        self.solution.copy_(torch.from_numpy(lasso(a, b, lam)))
        return float((self.solution - before).norm())

    def residual(self, picks: Picks) -> float:
        """How far A z is from b when only ``picks`` of z count, as a share of b."""
        z = torch.zeros_like(self.solution)
        z[list(picks)] = self.solution[list(picks)]
        missed = (self.dictionary @ z - self.compressed.detach()).norm()
        return float(missed / self.compressed.detach().norm().clamp_min(1e-30))

    def strengths(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The magnitude of every option in z."""
        magnitudes: np.ndarray[Any, np.dtype[np.float64]] = np.abs(self.solution.cpu().double().numpy())
        return magnitudes

    def fix_support(self, picks: Picks) -> None:
        """Fixes the support."""
        index = torch.tensor(picks, device=self.dictionary.device)
        self.kept = self.dictionary[:, index]
        z = self.solution[index]
        self.bias = self.kept.T @ (self.kept @ z) - z

    def weights(self) -> Tensor:
        """How strong the options of the support are."""
        return self.kept.T @ self.compressed - self.bias


class Codes(nn.Module):
    """The codes of all choices, and the support that runs until the next recovery: the strongest within the budgets."""

    def __init__(
        self,
        limits: Limits,
        seed: int,
        dictionary: Dictionary,
        dimension: int,
        sparsity: float,
        start: float,
        distinct: bool = False,
    ) -> None:
        """Draws the dictionaries and the first b. Raises ``UserError`` for choices of varying size."""
        super().__init__()
        if dictionary not in ("uniform", "tight") or dimension < 1 or not min(sparsity, start) > 0:
            raise UserError(
                "--method: expected dictionary uniform or tight, dimension >= 1, sparsity and start > 0, "
                f"got {dictionary}, {dimension}, {sparsity} and {start}"
            )
        self.limits, self.sparsity = limits, sparsity
        self.groups = {name: sources(choice) for name, choice in limits.choices.items()} if distinct else {}
        self.each = nn.ModuleList()
        for i, choice in enumerate(limits.choices.values()):
            if not choice.least == choice.most >= 1:
                raise UserError(
                    f"--method: choice {choice.name!r} keeps {choice.least} to {choice.most} options; ISTA-NAS needs "
                    "choices of a fixed number, as in the spaces darts and nasbench_macro"
                )
            rng = np.random.default_rng([seed, i])
            a = draw_dictionary(dictionary, min(dimension, len(choice.options)), len(choice.options), rng)
            self.each.append(Code(a, _first(a, start, choice.most, rng)))
        self.frozen: set[str] = set()
        self.arch: Arch | None = None
        self.facts: dict[str, Any] = {}
        """Figures of the last recovery, for the log."""
        self.solve()
        self.register_load_state_dict_post_hook(_fix_support)  # type: ignore[no-untyped-call]

    def items(self) -> Iterator[tuple[str, Code]]:
        """The codes by the names of their choices."""
        for name, code in zip(self.limits.choices, self.each, strict=True):
            assert isinstance(code, Code)
            yield name, code

    def gates(self) -> Gates:
        """The support with its weights, from which b can learn unless it is frozen."""
        arch, gates = self.answer(), {}
        for name, code in self.items():
            weights = code.weights()
            gates[name] = Gate(arch[name], weights.detach() if name in self.frozen else weights)
        return gates

    def answer(self) -> Arch:
        """The support."""
        assert self.arch is not None
        return self.arch

    def solve(self) -> dict[str, float]:
        """Solves for z where it is not frozen and fixes the new support; returns how far each z moved."""
        moved = {name: code.solve(self.sparsity) for name, code in self.items() if name not in self.frozen}
        strengths = {name: code.strengths() for name, code in self.items()}
        top = 1 + max(float(strength.sum()) for strength in strengths.values())
        for name in self.frozen:
            strengths[name][list(self.answer()[name])] += FROZEN * top
        before, self.arch = self.arch, best_arch_within_budget(self.limits, strengths, self.arch, self.groups)
        self.fix_support()
        self.facts = self._facts(before, moved, strengths)
        return moved

    def _facts(self, before: Arch | None, moved: Mapping[str, float], strengths: Strengths) -> dict[str, Any]:
        """Of every choice what is kept, how far z moved, how far A z is from b, and A z on the support alone.

        Besides, how many supports changed, and which are not the strongest, since a budget forbids those.
        """
        arch, codes = self.answer(), dict(self.items())
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

    def fix_support(self) -> None:
        """Makes the weights those of the support."""
        for name, code in self.items():
            code.fix_support(self.answer()[name])

    def freeze(self, name: str) -> None:
        """Lets b and z of a choice be, for good."""
        self.frozen.add(name)
        self.facts["frozen"] = sorted(self.frozen)

    def get_extra_state(self) -> dict[str, Any]:
        """What is no tensor."""
        return {"arch": {name: list(picks) for name, picks in self.answer().items()}, "frozen": sorted(self.frozen)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores what is no tensor; names are our own objects, for a file shows which strings are shared."""
        self.arch = Arch(self.limits.choices, state["arch"])
        self.frozen = {name for name in self.limits.choices if name in state["frozen"]}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _fix_support(codes: nn.Module, _: object) -> None:
    assert isinstance(codes, Codes)
    codes.fix_support()


def sources(choice: Choice) -> tuple[int, ...]:
    """Which source each option reads, by labels such as 1:skip_connect. Raises ``UserError`` for other labels."""
    found = tuple(option.partition(":")[0] for option in choice.options)
    if not all(":" in option and source.isdigit() for option, source in zip(choice.options, found, strict=True)):
        raise UserError(
            f"--method.distinct_sources: expected options such as 1:skip_connect, choice {choice.name!r} has "
            f"{choice.options[0]!r}"
        )
    if len(set(found)) < choice.most:
        raise UserError(f"--method.distinct_sources: choice {choice.name!r} keeps more options than it has sources")
    return tuple(map(int, found))


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


def _first(a: Matrix, start: float, kept: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    if kept == 1:
        return a[:, int(rng.integers(a.shape[1]))]
    return start * rng.standard_normal(len(a))
