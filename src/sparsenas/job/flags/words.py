"""The words of a command line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

BOOLEANS = ("true", "false")


class Words(NamedTuple):
    """A command line taken apart."""

    positional: list[str]
    flags: list[tuple[str, str | None]]
    """Names without dashes, with values in the order given; ``None`` where no value follows."""

    def of(self, name: str) -> list[str]:
        """The values of one flag."""
        return [value for given, value in self.flags if given == name and value is not None]


def split_words(argv: Sequence[str], switches: Collection[str] = ()) -> Words:
    """Takes a command line apart. After a switch only ``true`` or ``false`` is its value.

    Dashes and underscores in the name of a flag are the same.
    """
    words, rest = Words([], []), list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            words.positional.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        follows = bool(rest) and (rest[0] in BOOLEANS if name in switches else not rest[0].startswith("--"))
        words.flags.append((name, value if equals else rest.pop(0) if follows else None))
    return words
