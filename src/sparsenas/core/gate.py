"""The options that run for a choice in a step, and the modules that run them."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from sparsenas.core.choice import Choice, Picks
from sparsenas.errors import UserError


class Gate(NamedTuple):
    """The options that run for one choice."""

    picks: Picks
    """The options. They are Python integers, so that ``forward`` never waits for a device."""
    weights: Tensor | None = None
    """One weight per pick; ``None`` stands for 1."""


Gates = Mapping[str, Gate]


class Gated(nn.Module, ABC):
    """A module that runs any legal picks of one choice.

    Subclasses read ``self.gate`` in ``forward``. ``choices`` finds these modules, ``set_gates`` sets their gates.
    """

    takes_weights: ClassVar[bool] = False
    """Whether it runs any number of options, each times its weight; else only legal picks, without weights."""

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        self.choice = choice
        self._gate: Gate | None = None

    @property
    def gate(self) -> Gate:
        """The options that run now. Raises ``RuntimeError`` before ``set_gates``."""
        if self._gate is None:
            raise RuntimeError(f"choice {self.choice.name!r} has no gate yet: call set_gates(net, arch.gates())")
        return self._gate

    @gate.setter
    def gate(self, gate: Gate) -> None:
        self._gate = gate

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts without a gate: its weights may belong to a graph, which cannot be copied.
        return {**self.__dict__, "_gate": None}


def choices(net: nn.Module) -> dict[str, Choice]:
    """The choices of a network by name, in the network's order.

    Raises ``UserError`` when two different choices have the same name.
    """
    found: dict[str, Choice] = {}
    for module in net.modules():
        if isinstance(module, Gated):
            choice = module.choice
            if found.setdefault(choice.name, choice) != choice:
                raise UserError(
                    f"choice {choice.name!r}: expected the same options in every module with this choice, "
                    f"got {found[choice.name].options} and {choice.options}"
                )
    return found


def unweighted(net: nn.Module) -> set[str]:
    """The names of the choices with a module that takes no weights, such as a ``Width``: nothing can learn them."""
    return {m.choice.name for m in net.modules() if isinstance(m, Gated) and not m.takes_weights}


def gated_modules(net: nn.Module) -> list[Gated]:
    """The modules of a network that run a choice."""
    return [module for module in net.modules() if isinstance(module, Gated)]


def set_gates(net: nn.Module, gates: Gates) -> None:
    """Sets the gate of every choice in ``net``. Raises ``UserError`` when one is missing."""
    set_gates_of(gated_modules(net), gates)


def set_gates_of(modules: Iterable[Gated], gates: Gates) -> None:
    """As ``set_gates``, for the modules of a network that were looked up before."""
    if not isinstance(gates, Mapping):
        raise UserError(f"gates: expected one for every choice, by name, got {type(gates).__name__}")
    for module in modules:
        name = module.choice.name
        if name not in gates:
            raise UserError(f"gates: expected one for every choice, got none for {name!r}")
        gate = gates[name]
        if not isinstance(gate, Gate):
            raise UserError(f"gates: expected a Gate for {name!r}, got {gate!r}; gates() of an Arch makes them")
        module.gate = gate
