"""A cache of bounded size that evicts the least recently used entries."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Entry(NamedTuple):
    value: Any
    size: int
    round: int


class Cache:
    """LRU cache of at most ``limit`` bytes that never evicts entries used in the current round.

    Where a round uses more than fits, its first entries are kept. So the next round in the same order finds these
    entries, whereas a plain LRU cache would always have evicted the entry that is needed next.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        """Bytes in use."""
        self.round = 0
        self._entries: dict[Hashable, _Entry] = {}
        """Least recently used first."""

    def begin(self) -> None:
        """Starts a round."""
        self.round += 1

    def get(self, key: Hashable, kind: type[T]) -> T | None:
        """The value, which is of type ``kind``; ``None`` if it is not in the cache."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._entries[key] = entry._replace(round=self.round)
        assert isinstance(entry.value, kind)
        return entry.value

    def put(self, key: Hashable, value: object, size: int) -> None:
        """Adds a value of ``size`` bytes, if it fits after evicting entries of earlier rounds."""
        self._evict(key)
        while self.used + size > self.limit and self._entries:
            oldest = next(iter(self._entries))
            if size > self.limit or self._entries[oldest].round == self.round:
                return
            self._evict(oldest)
        if size <= self.limit:
            self._entries[key] = _Entry(value, size, self.round)
            self.used += size

    def _evict(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        self.used -= 0 if entry is None else entry.size
