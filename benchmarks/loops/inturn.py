"""Two ways of one job, each in a process of its own, timed in turn.

Each way has its own process because the settings of the heap, once made, hold for a whole process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch

Numbers = list[float]
ROUNDING = 1e-4
"""Relative; the order of sums differs. Hits may differ where two logits are as close as that."""


class Job(NamedTuple):
    """Something to be timed."""

    run: Callable[[], Numbers]
    """Does it, with the numbers that come out."""
    reset: Callable[[], None] = lambda: None
    """Makes the next run start from the same state; not timed."""


class Side:
    """A process that does one job whenever asked, in one thread.

    What counts is its processor time, which other work on the machine disturbs less than the time on the clock.
    """

    def __init__(self, make: Callable[..., Job], args: Sequence[Any]) -> None:
        context = get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_serve, args=(end, make, args), daemon=True)
        self.process.start()

    def time(self) -> tuple[float, Numbers]:
        """Seconds and numbers of one run."""
        self.pipe.send(True)
        answer: tuple[float, Numbers] = self.pipe.recv()
        return answer

    def end(self) -> None:
        """Ends the process."""
        self.pipe.send(False)
        self.process.join()


def _serve(pipe: Connection, make: Callable[..., Job], args: Sequence[Any]) -> None:
    torch.set_num_threads(1)
    job = make(*args)
    while pipe.recv():
        job.reset()
        start = time.process_time()
        numbers = job.run()
        pipe.send((time.process_time() - start, numbers))


def compare(
    title: str,
    plain: Callable[..., Job],
    ours: Callable[..., Job],
    args: Sequence[Any],
    rounds: int,
    warm: bool = True,
) -> None:
    """Runs both in turn; prints times, ratio, spread and whether they agree.

    With ``warm`` there is a round before, which does not count.
    """
    sides = Side(plain, args), Side(ours, args)
    times: list[tuple[float, float]] = []
    for i in range(rounds + warm):
        (slow, expected), (fast, got) = (side.time() for side in sides)
        times += [(slow, fast)] if i >= warm else []
    for side in sides:
        side.end()
    ratios = [slow / fast for slow, fast in times]
    slow, fast = (statistics.median(column) for column in zip(*times, strict=True))
    agree = sum(abs(a - b) <= ROUNDING * abs(a) for a, b in zip(expected, got, strict=True))
    print(
        f"{title:<44} plain {slow:7.2f} s  ours {fast:7.2f} s  plain / ours {statistics.median(ratios):5.2f}x "
        f"({min(ratios):.2f} to {max(ratios):.2f})  {agree} of {len(got)} numbers agree",
        flush=True,
    )
