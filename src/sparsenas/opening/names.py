"""The part of a network's modules that patterns name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from sparsenas.errors import UserError


def frozen_names(names: Iterable[str], patterns: Sequence[str]) -> set[str]:
    """The names that patterns such as ``layer1.*`` match, and all below. Raises ``UserError`` where there are none."""
    names = list(names)
    found: set[str] = set()
    for pattern in patterns:
        matches = {name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")}
        if not matches:
            raise UserError(f"freeze: expected the path of a module or a pattern such as 'layer1.*', got {pattern!r}")
        found |= matches
    return found
