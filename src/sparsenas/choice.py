"""The question and its answers: ``Choice``, ``Arch`` and ``Gate``.

A search space is an ordinary network in which some decisions are left open. Every decision is the same thing:
keep between ``least`` and ``most`` of n options.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from sparsenas.errors import UserError

Picks = tuple[int, ...]
"""Sorted, distinct indices into ``Choice.options``."""


@dataclass(frozen=True)
class Choice:
    """An open decision: keep between ``least`` and ``most`` of ``options``.

    Two modules whose choices have equal names are tied: they always get the same answer.
    ``options`` are labels for files and reports; the module that owns the choice knows what they stand for.
    """

    name: str
    options: tuple[str, ...]
    least: int = 1
    most: int = 1

    def __post_init__(self) -> None:
        if not self.options or len(set(self.options)) != len(self.options):
            raise UserError(f"choice {self.name!r}: options must be distinct and at least one, got {self.options}")
        if not 0 <= self.least <= self.most <= len(self.options) or self.most == 0:
            raise UserError(
                f"choice {self.name!r}: bounds must satisfy 0 <= least <= most <= {len(self.options)} and most >= 1, "
                f"got least={self.least}, most={self.most}"
            )

    @property
    def single(self) -> bool:
        """Whether every answer is exactly one option."""
        return self.least == self.most == 1

    @property
    def size(self) -> int:
        """How many legal answers there are."""
        return sum(math.comb(len(self.options), k) for k in range(self.least, self.most + 1))

    def check(self, picks: Sequence[int]) -> None:
        """Raises ``UserError`` unless ``picks`` is a legal answer: sorted, distinct, in range, within the bounds."""
        n = len(self.options)
        if len(picks) == 1 and self.single and 0 <= picks[0] < n:
            return  # nearly all there are: as fast as may be
        if not all(0 <= pick < n for pick in picks) or any(a >= b for a, b in itertools.pairwise(picks)):
            raise UserError(
                f"choice {self.name!r}: picks must be sorted, distinct and within 0..{n - 1}, got {tuple(picks)}"
            )
        if not self.least <= len(picks) <= self.most:
            raise UserError(
                f"choice {self.name!r}: expected {_between(self.least, self.most)} of {n} options, got {len(picks)}"
            )

    def every(self) -> Iterator[Picks]:
        """All legal answers, smallest first."""
        for k in range(self.least, self.most + 1):
            yield from itertools.combinations(range(len(self.options)), k)

    def neighbours(self, picks: Picks) -> Iterator[Picks]:
        """The legal answers with one option added, dropped or swapped."""
        outside = [option for option in range(len(self.options)) if option not in picks]
        if len(picks) < self.most:
            yield from (tuple(sorted((*picks, option))) for option in outside)
        for gone in picks:
            rest = tuple(pick for pick in picks if pick != gone)
            if len(rest) >= self.least:
                yield rest
            yield from (tuple(sorted((*rest, option))) for option in outside)

    def first(self) -> Picks:
        """The canonical answer of a choice that does not matter: the first ``least`` options."""
        return tuple(range(self.least))

    def sample(self, rng: np.random.Generator) -> Picks:
        """Draws an answer uniformly from the legal ones."""
        n = len(self.options)
        if self.single:
            return (int(rng.integers(n)),)
        counts = range(self.least, self.most + 1)
        ways = np.array([math.comb(n, k) for k in counts], dtype=float)
        k = int(rng.choice(np.array(counts), p=ways / ways.sum()))
        return tuple(sorted(int(i) for i in rng.permutation(n)[:k]))

    def strongest(self, strengths: Sequence[float]) -> Picks:
        """The options of non-zero strength, by magnitude, clamped into ``[least, most]`` of them."""
        order = sorted(range(len(self.options)), key=lambda i: -abs(strengths[i]))
        nonzero = sum(1 for strength in strengths if strength != 0)
        return tuple(sorted(order[: min(max(nonzero, self.least), self.most)]))

    def labels(self, picks: Picks) -> str | list[str]:
        """``picks`` by label: one string where exactly one option is kept, else a list."""
        return self.options[picks[0]] if self.single else [self.options[pick] for pick in picks]

    def picks(self, labels: object) -> Picks:
        """The inverse of ``labels``. Raises ``UserError`` on a label this choice does not have."""
        wanted = labels if isinstance(labels, list) else [labels]
        unknown = [label for label in wanted if label not in self.options]
        if unknown:
            raise UserError(f"choice {self.name!r}: expected labels from {list(self.options)}, got {unknown[0]!r}")
        if len(set(wanted)) != len(wanted):
            raise UserError(f"choice {self.name!r}: expected distinct labels, got {wanted}")
        picks = tuple(sorted(self.options.index(label) for label in wanted))
        self.check(picks)
        return picks


def _between(least: int, most: int) -> str:
    return f"exactly {least}" if least == most else f"{least} to {most}"


Choices = Mapping[str, Choice]
"""The questions of a space by name, in the network's order."""


class Gate(NamedTuple):
    """The running answer to one choice."""

    picks: Picks
    """What runs: host integers, so that ``forward`` never waits for a device."""
    weights: Tensor | None = None
    """How strongly, aligned with ``picks``; ``None`` stands for 1."""


Gates = Mapping[str, Gate]


class Arch(Mapping[str, Picks]):
    """The answer to all choices of a space: immutable, hashable and always legal."""

    __slots__ = ("_hash", "_picks", "choices")

    def __init__(self, choices: Choices, picks: Mapping[str, Sequence[int]]) -> None:
        """Raises ``UserError`` when an answer is missing, unknown or illegal."""
        _same_names(choices, picks)
        for name, choice in choices.items():
            choice.check(picks[name])
        self.choices = choices
        self._picks: dict[str, Picks] = {name: tuple(picks[name]) for name in choices}
        self._hash = hash(frozenset(self._picks.items()))

    def __getitem__(self, name: str) -> Picks:
        return self._picks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._picks)

    def __len__(self) -> int:
        return len(self._picks)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Arch) and self._picks == other._picks

    def __repr__(self) -> str:
        return f"Arch({self.text()})"

    def gates(self) -> Gates:
        """This architecture as a running answer in which every kept option counts 1."""
        return {name: Gate(picks) for name, picks in self._picks.items()}

    def replace(self, answers: Mapping[str, Sequence[int]]) -> Arch:
        """This architecture with some answers replaced."""
        return Arch(self.choices, {**self._picks, **answers})

    def to_json(self) -> dict[str, str | list[str]]:
        """Labels by choice name; ``from_json`` is the exact inverse."""
        return {name: self.choices[name].labels(picks) for name, picks in self._picks.items()}

    def text(self) -> str:
        """Compact text: the pick of every choice in order, or all picks joined by ``+`` (``-`` for none)."""
        words = ["+".join(map(str, picks)) or "-" for picks in self._picks.values()]
        digits = all(len(choice.options) <= 10 and choice.single for choice in self.choices.values())
        return "".join(words) if digits else ",".join(words)

    @classmethod
    def from_json(cls, choices: Choices, labels: object) -> Arch:
        """Reads labels by choice name. Raises ``UserError`` on anything that is not a legal architecture."""
        if not isinstance(labels, Mapping):
            raise UserError(f"architecture: expected an object of labels by choice name, got {labels!r}")
        _same_names(choices, labels)
        return cls(choices, {name: choice.picks(labels[name]) for name, choice in choices.items()})

    @classmethod
    def from_text(cls, choices: Choices, text: str) -> Arch:
        """The inverse of ``text``. Raises ``UserError`` when it does not fit the space."""
        words = text.split(",") if "," in text or len(choices) == 1 else list(text)
        if len(words) != len(choices):
            raise UserError(f"architecture {text!r}: expected {len(choices)} picks, one a choice, got {len(words)}")
        try:
            picks = [tuple(int(pick) for pick in word.split("+")) if word != "-" else () for word in words]
        except ValueError:
            raise UserError(
                f"architecture {text!r}: expected digits such as {'0' * min(len(choices), 8)}, labels in JSON, "
                "a published name, 'full' or 'uniform:LABEL'"
            ) from None
        return cls(choices, dict(zip(choices, picks, strict=True)))

    @classmethod
    def sample(cls, choices: Choices, rng: np.random.Generator) -> Arch:
        """Draws every choice uniformly and independently."""
        return cls(choices, {name: choice.sample(rng) for name, choice in choices.items()})


def space_size(choices: Choices) -> int:
    """How many architectures the choices span."""
    return math.prod(choice.size for choice in choices.values())


def every_arch(choices: Choices) -> Iterator[Arch]:
    """All architectures; ask ``space_size`` first."""
    for picks in itertools.product(*(choice.every() for choice in choices.values())):
        yield Arch(choices, dict(zip(choices, picks, strict=True)))


def _same_names(choices: Choices, answers: Mapping[str, object]) -> None:
    if answers.keys() == choices.keys():
        return
    missing, unknown = [n for n in choices if n not in answers], [n for n in answers if n not in choices]
    if unknown:
        raise UserError(f"architecture: expected choices {_some(choices)}, got unknown {unknown[0]!r}")
    if missing:
        raise UserError(f"architecture: expected an answer to every choice, missing {_some(missing)}")


def _some(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


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
