"""What a method must offer: checked before a run begins, and again where its result is used."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice
from sparsenas.core.gate import Gate, Gates, unweighted
from sparsenas.errors import UserError, told
from sparsenas.methods.base import Final, Method
from sparsenas.searching.evolution import Search, SearchProblem


def check_contract(method: Method) -> None:
    """Checks what can be known of a method before its training. Raises ``UserError``: what it lacks, in one line.

    It calls ``gates``, which may sample; so ``method`` must not be the one that trains.
    """
    optimizer, gates, final = check_optimizer(method), method.gates(), method.final()
    check_gates(method, gates)
    if optimizer is not None and method.search_starts_at() == 0 and not any(map(_learns, gates.values())):
        raise UserError(
            f"{_call(method, 'gates')}: expected weights that depend on the parameters of optimizer(), got none"
        )
    if final is not None:
        check_final(method, final)
    elif type(method).search is Method.search:
        raise UserError(
            f"--method: {type(method).__name__} has no result: expected final(), which returns the architecture that "
            "it has learned, or search(), which searches the supernet"
        )
    else:
        search_of(method)


def search_of(method: Method) -> Search:
    """The search of a method that has no ``final``, in its space and budgets.

    Raises ``UserError`` where it is none, and where the method's code fails.
    """
    limits = method.limits
    problem = SearchProblem(limits.choices, limits.draw, lambda archs: [*map(bool, limits.legal(archs))], lambda a: a)
    try:
        found = method.search(problem, np.random.default_rng(0))
    except UserError:
        raise
    except Exception as error:  # what a method does in Python has no end
        raise UserError(f"{_call(method, 'search')}: {told(error)}") from error
    if not isinstance(found, Search):
        raise UserError(
            f"{_call(method, 'search')}: expected a sparsenas.methods.Search, since final() returns None, got "
            f"{'None' if found is None else _kind(found)}"
        )
    return found


def check_optimizer(method: Method) -> Optimizer | None:
    """The method's optimizer. Raises ``UserError`` where it is none, or does not fit the method's parameters."""
    optimizer, own = method.optimizer(), {id(parameter) for parameter in method.parameters()}
    where = _call(method, "optimizer")
    if optimizer is None:
        if own:
            raise UserError(f"{where}: expected one for the {len(own)} parameters of the method, got None")
        return None
    if not isinstance(optimizer, Optimizer):
        raise UserError(f"{where}: expected a torch.optim.Optimizer or None, got {_kind(optimizer)}")
    if not all(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise UserError(
            f"{where}: expected parameters of the method, got others; keep them as attributes of type nn.Parameter or "
            "nn.ParameterList, so that they are saved"
        )
    return optimizer


def check_gates(method: Method, gates: Gates, call: str = "gates") -> None:
    """Raises ``UserError`` unless there is a legal or relaxed gate for every choice."""
    where = _call(method, call)
    if not isinstance(gates, Mapping):
        raise UserError(f"{where}: expected a Gate for each choice, by name, got {_kind(gates)}")
    for name in [*method.choices, *gates]:
        if name not in gates:
            raise UserError(f"{where}: expected a Gate for every choice, got none for {name!r}")
        if name not in method.choices:
            raise UserError(f"{where}: expected gates of choices of the space, got one of {name!r}")
    constant = unweighted(method.limits.table.net)
    for name, choice in method.choices.items():
        _check_gate(f"{where}: choice {name!r}", choice, gates[name], name not in constant)


def check_final(method: Method, final: Final) -> None:
    """Raises ``UserError`` unless ``final`` is a legal architecture within the budgets, with gates of its picks."""
    where = _call(method, "final")
    if not isinstance(final, Final) or not isinstance(final.arch, Arch):
        raise UserError(f"{where}: expected Final(arch, gates) or None, got {_kind(final)}")
    arch = final.arch
    if arch.choices.keys() != method.choices.keys():
        raise UserError(f"{where}: expected an architecture of the space's choices, got one of {', '.join(arch)}")
    check_gates(method, final.gates, "final")
    for name, picks in arch.items():
        if final.gates[name].picks != picks:
            raise UserError(
                f"{where}: choice {name!r}: expected gates of the architecture's picks {picks}, "
                f"got {final.gates[name].picks}; the gates of an architecture are arch.gates()"
            )
    costs = method.limits.table.exact(arch) if method.limits.budgets else {}
    for budget in method.limits.budgets:
        if not budget.allows(costs[budget.cost]):
            raise UserError(
                f"{where}: expected an architecture within the budget {budget}, got {costs[budget.cost]}; "
                "best_arch_within_budget(self.limits, strengths) finds the strongest one that meets all budgets"
            )


def _check_gate(where: str, choice: Choice, gate: object, takes_weights: bool) -> None:
    if not isinstance(gate, Gate):
        raise UserError(f"{where}: expected Gate(picks, weights), got {_kind(gate)}")
    picks, n = gate.picks, len(choice.options)
    if not (isinstance(picks, tuple) and all(isinstance(pick, int) and 0 <= pick < n for pick in picks)):
        raise UserError(f"{where}: expected picks as a tuple of integers within 0..{n - 1}, got {_short(picks)}")
    if not all(a < b for a, b in pairwise(picks)):
        raise UserError(f"{where}: expected sorted and distinct picks, got {_short(picks)}")
    if not takes_weights and (_learns(gate) or len(picks) > choice.most):
        raise UserError(
            f"{where}: its module runs {choice.most} of {n} options and takes no weights, so that a relaxed method "
            "cannot learn it; expected choices among operations only (Join), or a method that searches, such as spos"
        )
    if gate.weights is None or not takes_weights or not picks:
        _check_legal(where, choice, gate)
    if gate.weights is not None:
        _check_weights(where, gate.weights, len(picks))


def _check_legal(where: str, choice: Choice, gate: Gate) -> None:
    if not choice.least <= len(gate.picks) <= choice.most:
        raise UserError(
            f"{where}: expected weights, or {choice.least} to {choice.most} picks without weights, "
            f"got {len(gate.picks)} picks"
        )


def _check_weights(where: str, weights: object, picks: int) -> None:
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        raise UserError(f"{where}: expected weights as a tensor of floats, got {_kind(weights)}")
    if weights.shape != (picks,):
        raise UserError(f"{where}: expected weights of shape ({picks},), one per pick, got {tuple(weights.shape)}")
    if not torch.isfinite(weights).all():
        raise UserError(f"{where}: expected finite weights, got {_short(weights.tolist())}")


def _learns(gate: Gate) -> bool:
    return isinstance(gate.weights, Tensor) and gate.weights.requires_grad


def _call(method: Method, name: str) -> str:
    return f"--method: {type(method).__name__}.{name}()"


def _kind(value: object) -> str:
    return f"an object of class {type(value).__name__}"


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}..."
