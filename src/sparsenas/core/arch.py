"""An architecture: legal picks for each choice of a space."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from sparsenas.core.choice import Choices, Picks
from sparsenas.core.gate import Gate, Gates
from sparsenas.errors import UserError


class Arch(Mapping[str, Picks]):
    """The picks of all choices of a space: immutable, hashable and always legal."""

    __slots__ = ("_hash", "_picks", "choices")

    def __init__(self, choices: Choices, picks: Mapping[str, Sequence[int]]) -> None:
        """Raises ``UserError`` when picks are missing, of an unknown choice or illegal."""
        _check_names(choices, picks)
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

    def every_pick(self) -> Iterator[int]:
        """The picks of all choices in order, one after another."""
        return itertools.chain.from_iterable(self._picks.values())

    def gates(self) -> Gates:
        """The gates that run this architecture, every option with weight 1."""
        return {name: Gate(picks) for name, picks in self._picks.items()}

    def replace(self, picks: Mapping[str, Sequence[int]]) -> Arch:
        """This architecture with the picks of some choices replaced."""
        return Arch(self.choices, {**self._picks, **picks})

    def to_json(self) -> dict[str, str | list[str]]:
        """Labels by choice name, which ``from_json`` reads."""
        return {name: self.choices[name].labels(picks) for name, picks in self._picks.items()}

    def text(self) -> str:
        """Compact text: the picks of every choice in order, joined by ``+``, or ``-`` for none."""
        words = ["+".join(map(str, picks)) or "-" for picks in self._picks.values()]
        digits = all(len(choice.options) <= 10 and choice.single for choice in self.choices.values())
        return "".join(words) if digits else ",".join(words)

    @classmethod
    def from_json(cls, choices: Choices, labels: object) -> Arch:
        """Reads labels by choice name. Raises ``UserError`` for anything but a legal architecture."""
        if not isinstance(labels, Mapping):
            raise UserError(f"architecture: expected an object of labels by choice name, got {labels!r}")
        _check_names(choices, labels)
        return cls(choices, {name: choice.picks(labels[name]) for name, choice in choices.items()})

    @classmethod
    def from_text(cls, choices: Choices, text: str) -> Arch:
        """Reads compact text. Raises ``UserError`` when it does not fit the space."""
        words = text.split(",") if "," in text or len(choices) == 1 else list(text)
        if len(words) != len(choices):
            raise UserError(f"architecture {text!r}: expected {len(choices)} picks, one per choice, got {len(words)}")
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


MOST_TOLD = 10**4000
"""Files tell at most so many architectures: Python writes no number of more than 4300 digits."""


def space_size(choices: Choices) -> int:
    """The number of architectures."""
    return math.prod(choice.size for choice in choices.values())


def every_arch(choices: Choices) -> Iterator[Arch]:
    """All architectures, of which there are ``space_size``."""
    for picks in itertools.product(*(choice.every() for choice in choices.values())):
        yield Arch(choices, dict(zip(choices, picks, strict=True)))


def _check_names(choices: Choices, picks: Mapping[str, object]) -> None:
    if picks.keys() == choices.keys():
        return
    missing, unknown = [n for n in choices if n not in picks], [n for n in picks if n not in choices]
    if unknown:
        raise UserError(f"architecture: expected choices {_some(choices)}, got unknown {unknown[0]!r}")
    if missing:
        raise UserError(f"architecture: expected picks for every choice, missing {_some(missing)}")


def _some(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
