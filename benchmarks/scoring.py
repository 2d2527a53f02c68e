"""Scoring a population at once against the slow reference, in turn, on the same candidates and images.

Prints, for a random generation and for one as the evolution makes them (children of ten parents), the ratio of the
reference's time to ours, its spread, and that the numbers are the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from sparsenas.choice import Arch, choices
from sparsenas.costs import CostTable, Limits
from sparsenas.data import Data, Split, digits
from sparsenas.evolution import Evolution, Score, Space
from sparsenas.score import Exam, make_exam, score_one, score_population
from sparsenas.spaces import nasbench_macro, tiny
from sparsenas.testing import shaken

ROUNDS = 3


def timed(work: Callable[[], list[Score]]) -> tuple[float, list[Score]]:
    """Seconds and result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def random_images(count: int, size: int) -> Data:
    """Random images; only their shape matters here."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.randint(0, 10, (count,), generator=generator))
    return Data(tuple("0123456789"), split, split, split, (0.5,) * 3, (0.25,) * 3)


def generations(net: nn.Module, count: int) -> dict[str, list[Arch]]:
    """A random generation and the children of its first ten."""
    questions, rng = choices(net), np.random.default_rng(0)
    draws = CostTable(net, (net[0][0].in_channels, 8, 8))
    space = Space(questions, Limits(draws).draw,
                  lambda archs: [True] * len(archs), lambda arch: arch)  # fmt: skip
    evolution = Evolution(space, rng, count, 2, 10, count // 2, count // 2)
    first = evolution.ask()
    evolution.tell(first, [Score(float(i), 0.0) for i in range(len(first))])
    return {"random": first, "children": evolution.ask()}


def compare(title: str, net: nn.Module, exam: Exam, count: int) -> None:
    """Times both evaluators A B A B and prints a line for each kind of generation."""
    net = shaken(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for kind, archs in generations(net, count).items():
        ratios, same = [], True
        for _ in range(ROUNDS):
            slow, expected = timed(lambda archs=archs: [score_one(net, arch, exam) for arch in archs])
            fast, got = timed(lambda archs=archs: score_population(net, archs, exam))
            ratios.append(slow / fast)
            same = same and [s.accuracy for s in expected] == [s.accuracy for s in got]
        print(
            f"{title:<15} {kind:<9} {len(archs):>3} candidates  reference / ours {statistics.median(ratios):.2f}x "
            f"(min {min(ratios):.2f}, max {max(ratios):.2f})  equal hits: {same}",
            flush=True,
        )


def main() -> None:
    """Runs the comparisons."""
    compare("tiny, digits", tiny(), make_exam(digits(), 512, 0, 256, 0), 50)
    compare("nasbench_macro", nasbench_macro(), make_exam(random_images(128, 32), 64, 128, 64, 0), 16)


if __name__ == "__main__":
    main()
