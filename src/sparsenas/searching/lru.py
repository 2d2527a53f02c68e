"""A memory of bounded size that forgets first what was used longest ago."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Entry(NamedTuple):
    value: Any
    size: int
    round: int


class Cache:
    """Keeps values of at most ``limit`` bytes in all, used in rounds.

    Nothing is forgotten in the round in which it was used: where a round uses more than there is room for, what came
    first is kept. So a next round in the same order finds it, instead of always asking for what has just gone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        """Bytes in use."""
        self.round = 0
        self._entries: dict[Hashable, _Entry] = {}
        """In the order of their last use."""

    def begin(self) -> None:
        """Starts a round."""
        self.round += 1

    def get(self, key: Hashable, kind: type[T]) -> T | None:
        """The value, which is of this kind; ``None`` where there is none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._entries[key] = entry._replace(round=self.round)
        assert isinstance(entry.value, kind)
        return entry.value

    def put(self, key: Hashable, value: object, size: int) -> None:
        """Keeps a value of ``size`` bytes, if there is room for it or for older ones in its place."""
        self._forget(key)
        while self.used + size > self.limit and self._entries:
            oldest = next(iter(self._entries))
            if size > self.limit or self._entries[oldest].round == self.round:
                return
            self._forget(oldest)
        if size <= self.limit:
            self._entries[key] = _Entry(value, size, self.round)
            self.used += size

    def _forget(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        self.used -= 0 if entry is None else entry.size
