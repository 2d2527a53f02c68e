"""Which choices decide a number of a layer, found from its values in some architectures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.choice import Choices
from sparsenas.costs.factor import Factor
from sparsenas.costs.factors import joined, settings

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
FEWEST = 8
"""A number is looked for in no fewer architectures."""
MOST_PARTS = 150
"""With more known numbers than this no long sums are looked for."""
MOST_PAIRED = 100
"""With more choices than this no tables over two of them are looked for."""

Terms = tuple[Factor, ...]
"""A number as a sum of tables."""


class KnownNumber(NamedTuple):
    """A number that is found, and its values in all the architectures."""

    terms: Terms
    values: Integers


class Numbers:
    """Finds for each number a table over the one or two choices that decide it, or sums and products of such tables.

    A number of a layer is known in the architectures in which the layer runs. What is found agrees with all of
    these; that it holds for all others is to be checked.
    """

    def __init__(self, choices: Choices, settings_of: Mapping[str, Integers], count: int) -> None:
        """``settings_of`` has the setting of each choice in all the architectures, of which there are ``count``."""
        self._choices, self._settings, self._count = choices, settings_of, count
        self._sizes = {name: settings(choice) for name, choice in choices.items()}
        self.unclear = False
        """Whether more architectures may help: several choices may decide a number, or an option was not seen."""
        self._found: dict[tuple[bytes, bytes], KnownNumber | None] = {}
        self._known: dict[bytes, KnownNumber] = {}
        self._by_mask: dict[bytes, dict[bytes, KnownNumber]] = {}

    def find(self, values: Integers, runs: Mask) -> KnownNumber | None:
        """What decides a number, of which ``values`` count where ``runs``; ``None`` if that is not found."""
        key = runs.tobytes(), values[runs].tobytes()
        if runs.sum() < min(FEWEST, self._count):
            self.unclear = True
        elif self._found.get(key) is None:
            found = self._find(values[runs], runs)
            self._found[key] = found
            if found is not None and found.values.tobytes() not in self._known:
                self._known[found.values.tobytes()] = found
                self._by_mask.clear()
        return self._found.get(key)

    def _find(self, seen: Integers, runs: Mask) -> KnownNumber | None:
        if (seen == seen[0]).all():
            return self._constant(seen)
        found = [table for name in self._choices if (table := self._table(name, seen, runs)) is not None]
        if len(found) == 1 and not np.isnan(found[0].values).any():
            return self._as_known((found[0],))
        self.unclear |= bool(found)
        return None if len(found) > 1 else self._composed(seen, runs) or self._paired(seen, runs)

    def _constant(self, seen: Integers) -> KnownNumber:
        return self._as_known((Factor((), np.array(float(seen[0]))),))

    def _table(self, name: str, seen: Integers, runs: Mask) -> Factor | None:
        """The number by the setting of one choice, NaN for a setting that was not seen; ``None`` if others matter."""
        at, table = self._settings[name][runs], np.full(self._sizes[name], np.nan)
        table[at] = seen
        if not (table[at] == seen).all():
            return None
        if not self._choices[name].single and len(set(at.tolist())) > 1:
            line = np.polyfit(at, seen, 1)
            table = np.round(np.polyval(line, np.arange(len(table))))
            if not (table[at] == seen).all():
                return None
        return Factor((name,), table)

    def _paired(self, seen: Integers, runs: Mask) -> KnownNumber | None:
        """A table over two choices, such as a width that is a factor times another one, rounded."""
        names = [name for name, choice in self._choices.items() if choice.single]
        if len(names) > MOST_PAIRED:
            return None
        pairs = (self._table_of_two(pair, seen, runs) for pair in itertools.combinations(names, 2))
        found = [table for table in pairs if table is not None]
        if len(found) == 1 and not np.isnan(found[0].values).any():
            return self._as_known((found[0],))
        self.unclear |= bool(found)
        return None

    def _table_of_two(self, names: tuple[str, str], seen: Integers, runs: Mask) -> Factor | None:
        at = tuple(self._settings[name][runs] for name in names)
        table = np.full([self._sizes[name] for name in names], np.nan)
        table[at] = seen
        return Factor(names, table) if (table[at] == seen).all() else None

    def _composed(self, seen: Integers, runs: Mask) -> KnownNumber | None:
        """The sum of two to four known numbers, or the product of two; each may be a constant."""
        known = self._seen_where(runs)
        for one in known.values():
            if (other := self._known_or_constant(seen - one.values[runs], known)) is not None:
                return self._as_known(one.terms + other.terms)
        for one in known.values():
            own = one.values[runs]
            if (own > 0).all() and not (seen % own).any():
                other = self._known_or_constant(seen // own, known)
                if other is not None and min(len(one.terms), len(other.terms)) == 1:
                    return self._as_known(
                        tuple(joined(a, b, self._sizes, add=False) for a in one.terms for b in other.terms)
                    )
        return self._longer_sum(seen, runs, known)

    def _known_or_constant(self, seen: Integers, known: Mapping[bytes, KnownNumber]) -> KnownNumber | None:
        if (seen == seen[0]).all():
            return self._constant(seen)
        return known.get(seen.tobytes())

    def _longer_sum(self, seen: Integers, runs: Mask, known: Mapping[bytes, KnownNumber]) -> KnownNumber | None:
        """The sum of three or four known numbers."""
        parts = list(known.values())
        if len(parts) > MOST_PARTS:
            return None
        pairs = {(a.values[runs] + b.values[runs]).tobytes(): (a, b) for i, a in enumerate(parts) for b in parts[i:]}
        for total, rest in self._splits(seen, runs, parts, pairs):
            if rest.tobytes() in pairs:
                a, b = pairs[rest.tobytes()]
                return self._as_known(tuple(term for part in (*total, a, b) for term in part.terms))
        return None

    @staticmethod
    def _splits(
        seen: Integers, runs: Mask, parts: list[KnownNumber], pairs: Mapping[bytes, tuple[KnownNumber, KnownNumber]]
    ) -> Iterator[tuple[tuple[KnownNumber, ...], Integers]]:
        """One or two known numbers, and the rest."""
        yield from (((one,), seen - one.values[runs]) for one in parts)
        yield from (((a, b), seen - a.values[runs] - b.values[runs]) for a, b in pairs.values())

    def _seen_where(self, runs: Mask) -> dict[bytes, KnownNumber]:
        """The known numbers, by their values in some of the architectures."""
        if runs.tobytes() not in self._by_mask:
            self._by_mask[runs.tobytes()] = {known.values[runs].tobytes(): known for known in self._known.values()}
        return self._by_mask[runs.tobytes()]

    def _as_known(self, terms: Terms) -> KnownNumber:
        at = [term.values[tuple(self._settings[name] for name in term.names)] for term in terms]
        return KnownNumber(terms, np.broadcast_to(np.round(sum(at)).astype(np.int64), self._count).copy())
