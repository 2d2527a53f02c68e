"""Repeats measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparsenas.costs.latency import Settings, Timing

GPU_BURST = 20
"""Runs timed as one on a GPU, where a single small layer takes less time than waiting for it."""


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

    In turn, so that a machine that slows down for a while slows down all of them.
    """

    warmup: int = 10
    repeats: int = 50
    burst: int = 1
    """Runs in a row that are timed as one, where waiting for a device takes longer than the work"""
    clock: Callable[[], float] = time.perf_counter
    warm: int = 0
    """Runs before each timed one, which fill the caches as the run before does in a network that runs all the time"""
    seconds: float = 0.0
    """Rounds go on for at least so long: what else a machine does comes and goes"""

    def __call__(self, works: Sequence[Work]) -> list[Timing]:
        """For each piece of work the median and the interquartile range of its times."""
        for _ in range(self.warmup):
            self._round(works)
        rounds, start = list[list[float]](), time.monotonic()
        while len(rounds) < self.repeats or time.monotonic() - start < self.seconds:
            rounds.append(self._round(works))
        samples = np.array(rounds)
        low, median, high = np.quantile(samples, [0.25, 0.5, 0.75], axis=0)
        return [Timing(round(float(m), 6), round(float(s), 6)) for m, s in zip(median, high - low, strict=True)]

    @classmethod
    def of(cls, settings: Settings) -> Timer:
        """The timer of whole networks by a table's settings."""
        burst = GPU_BURST if settings.accelerator == "cuda" else 1
        return cls(settings.warmup, settings.repeats, burst, _clock(settings), 1, settings.seconds)

    @classmethod
    def of_layers(cls, settings: Settings) -> Timer:
        """The timer of layers by a table's settings."""
        return replace(cls.of(settings), warm=settings.warm)

    def _round(self, works: Sequence[Work]) -> list[float]:
        return [self._milliseconds(work) for work in works]

    def _milliseconds(self, work: Work) -> float:
        for _ in range(self.warm):
            work.run()
        if self.warm:
            work.wait()
        start = self.clock()
        for _ in range(self.burst):
            work.run()
        work.wait()
        return (self.clock() - start) / self.burst * 1e3


def _clock(settings: Settings) -> Callable[[], float]:
    """The clock of the thread where one CPU thread does all the work: it stands still while other programs run."""
    alone = settings.accelerator == "cpu" and settings.threads == 1
    return time.thread_time if alone and time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter
