"""Repeats measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsenas.costs.latency import Timing


class Work(NamedTuple):
    """A piece of work to be timed."""

    run: Callable[[], Any]
    """Does it once, or starts it on a device"""
    wait: Callable[[], Any] = lambda: None
    """Waits until the device is done"""


class Trial(NamedTuple):
    """Two pieces of work; ``more`` has ``layers`` layers more than ``less``."""

    more: Work
    less: Work
    layers: int = 1

    def timing(self, more: Timing, less: Timing) -> Timing:
        """The time of one layer, from the times of the two."""
        median = max(0.0, more.median_ms - less.median_ms) / self.layers
        return Timing(round(median, 6), round(more.spread_ms / self.layers, 6))


@dataclass(frozen=True)
class Timer:
    """Times several pieces of work in turn: ``warmup`` rounds that do not count, then ``repeats`` rounds that do.

    In turn, because in a network other layers use the caches between two runs of a layer.
    """

    warmup: int = 10
    repeats: int = 50
    burst: int = 1
    """Runs in a row that are timed as one, where waiting for a device takes longer than the work"""
    clock: Callable[[], float] = time.perf_counter

    def __call__(self, works: Sequence[Work]) -> list[Timing]:
        """For each piece of work the median and the interquartile range of its times."""
        for _ in range(self.warmup):
            self._round(works)
        samples = np.array([self._round(works) for _ in range(self.repeats)])
        low, median, high = np.quantile(samples, [0.25, 0.5, 0.75], axis=0)
        return [Timing(round(float(m), 6), round(float(s), 6)) for m, s in zip(median, high - low, strict=True)]

    def _round(self, works: Sequence[Work]) -> list[float]:
        return [self._milliseconds(work) for work in works]

    def _milliseconds(self, work: Work) -> float:
        start = self.clock()
        for _ in range(self.burst):
            work.run()
        work.wait()
        return (self.clock() - start) / self.burst * 1e3
