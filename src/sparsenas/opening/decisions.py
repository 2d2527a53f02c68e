"""From channel numbers to decisions: units that are alike in every layer can be kept in any number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from sparsenas.opening.flow import Flow
from sparsenas.opening.numbers import FIXED, Labels
from sparsenas.opening.positions import Positions

Key = tuple[str, int]
PARAMETRIZED = ".parametrizations."
"""In the name of a parameter from which ``torch.nn.utils.parametrizations`` compute a weight of a layer."""
COMPUTED = ("_g", "_v", "_orig")
"""Ends of the names of such parameters, by the older weight norm and by pruning."""
OWN = ("weight", "bias", *(f"weight{end}" for end in COMPUTED))
"""Names of parameters by which a decision is named after their layer."""
RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The parameters of an LSTM or GRU, which have the hidden channels once for each gate."""


@dataclass(frozen=True)
class Decision:
    """Units, each a few channels, of which some are kept."""

    name: str
    labels: tuple[int, ...]
    """The channel number that stands for each unit."""
    channels: int
    """Channels of a unit in the layer that the decision is named after."""
    order: tuple[int, ...]
    """The units, the most important one first."""

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(self.order)


def find_decisions(flow: Flow) -> list[Decision]:
    """The decisions of a network, in its order. Units in the same places of the same layers belong together."""
    labels = flow.numbers.labels()
    places: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    keys = list(flow.dims)
    for i, key in enumerate(keys):
        for label, count in zip(*np.unique(labels[flow.dims[key].numpy()], return_counts=True), strict=True):
            places[int(label)].append((i, int(count)))
    alike: defaultdict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
    for label in sorted(places):
        if label != FIXED:
            alike[tuple(places[label])].append(label)
    found = [
        Decision(
            _name(flow, keys, signature), tuple(units), _producer(flow, keys, signature)[1], tuple(range(len(units)))
        )
        for signature, units in alike.items()
        if len(units) > 1
    ]
    return _distinct(found)


def _producer(flow: Flow, keys: list[Key], signature: tuple[tuple[int, int], ...]) -> tuple[Key, int]:
    """The first parameter whose outputs the units are, and its channels for each. Layers come first."""
    made = [(keys[i], count) for i, count in signature if keys[i] not in flow.inputs]
    made.sort(key=lambda key_count: key_count[0] in flow.loose)
    key, count = made[0] if made else (keys[signature[0][0]], signature[0][1])
    return key, 1 if _own(key[0]).startswith(RECURRENT) else count


def _name(flow: Flow, keys: list[Key], signature: tuple[tuple[int, int], ...]) -> str:
    (parameter, _), _ = _producer(flow, keys, signature)
    if PARAMETRIZED in parameter:
        return parameter.partition(PARAMETRIZED)[0]
    named = _own(parameter) in OWN or _own(parameter).startswith(RECURRENT)
    return parameter.rpartition(".")[0] if named else parameter


def _own(parameter: str) -> str:
    return parameter.rpartition(".")[2]


def _distinct(decisions: list[Decision]) -> list[Decision]:
    """Later decisions of the same layer get a number behind their name."""
    seen: defaultdict[str, int] = defaultdict(int)
    for i, decision in enumerate(decisions):
        seen[decision.name] += 1
        if seen[decision.name] > 1:
            decisions[i] = replace(decision, name=f"{decision.name}.{seen[decision.name]}")
    return decisions


class Places:
    """Looks up which units the positions of a companion's vector belong to."""

    def __init__(self, labels: Labels, decisions: Mapping[int, Decision]) -> None:
        """``decisions`` by their index among all choices of the space."""
        self.labels = labels
        self.decision = np.full(len(labels), -1)
        self.unit = np.zeros(len(labels), np.int64)
        for index, decision in decisions.items():
            self.decision[list(decision.labels)] = index
            self.unit[list(decision.labels)] = range(decision.units)

    def of(self, ids: Tensor) -> Positions:
        """The units of a vector of channel numbers."""
        labels = self.labels[ids.numpy()]
        return Positions(self.decision[labels], self.unit[labels])
