"""What runs for a choice in a step, and the modules that can run it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from sparsenas.core.choice import Choice, Picks
from sparsenas.errors import UserError


class Gate(NamedTuple):
    """The running answer to one choice."""

    picks: Picks
    """What runs: host integers, so that ``forward`` never waits for a device."""
    weights: Tensor | None = None
    """How strongly, aligned with ``picks``; ``None`` stands for 1."""


Gates = Mapping[str, Gate]


class Gated(nn.Module, ABC):
    """A module that can run every answer to one choice.

    Subclasses read ``self.gate`` in ``forward``. ``choices`` finds them, ``set_gates`` sets the running answer.
    """

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        self.choice = choice
        self._gate: Gate | None = None

    @property
    def gate(self) -> Gate:
        """The running answer. Raises ``RuntimeError`` when none was set yet."""
        if self._gate is None:
            raise RuntimeError(f"choice {self.choice.name!r} has no answer yet: call set_gates(net, arch.gates())")
        return self._gate

    @gate.setter
    def gate(self, gate: Gate) -> None:
        self._gate = gate

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts without an answer: gate weights may belong to a graph, which cannot be copied.
        return {**self.__dict__, "_gate": None}


def choices(net: nn.Module) -> dict[str, Choice]:
    """The questions that ``net`` leaves open, by name, in the network's order.

    Raises ``UserError`` when two different choices have the same name.
    """
    found: dict[str, Choice] = {}
    for module in net.modules():
        if isinstance(module, Gated):
            choice = module.choice
            if found.setdefault(choice.name, choice) != choice:
                raise UserError(
                    f"choice {choice.name!r} is asked twice with different options: "
                    f"{found[choice.name].options} and {choice.options}; equal names must be equal choices"
                )
    return found


def set_gates(net: nn.Module, gates: Gates) -> None:
    """Sets the running answer of every choice in ``net``. Raises ``UserError`` when one is missing."""
    for module in net.modules():
        if isinstance(module, Gated):
            try:
                module.gate = gates[module.choice.name]
            except KeyError:
                raise UserError(f"gates: no answer for choice {module.choice.name!r}") from None
