"""A training step of a DSO-NAS block on CIFAR shapes: against a loop of scaled additions, and as edges die."""

from __future__ import annotations

import resource
import statistics
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.choice import Gate, choices, set_gates
from sparsenas.heap import keep_heap
from sparsenas.join import Dag
from sparsenas.spaces.dso import LEVELS, OPERATIONS, dso

BATCH, WIDTH, PIXELS, ROUNDS = 32, 48, 32, 5
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1)
"""Of the edges, that survive."""


class Loop(nn.Module):
    """The complete block as a plain loop: every edge a multiplication and an addition."""

    def __init__(self, block: Dag) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        values = [x]
        names = [f"level{level + 1}.{op}" for level in range(LEVELS) for op in OPERATIONS]
        for i, name in enumerate(names):
            inputs = values[: 1 + i // len(OPERATIONS) * len(OPERATIONS)]
            total = sum(x * w for x, w in zip(inputs, weights[name], strict=True)) if name in weights else x
            values.append(self.block.ops[i](total))
        output = self.block.joins[-1]
        joined = sum(op(h) * w for op, h, w in zip(output.ops, values[1:], weights["output"], strict=True))
        y: Tensor = x + self.block.ops[-1](joined)
        return y


def step(block: nn.Module, x: Tensor, *weights: dict[str, Tensor]) -> float:
    """Seconds of a forward and a backward pass."""
    start = time.perf_counter()
    block(x, *weights).mean().backward()
    return time.perf_counter() - start


def main() -> None:
    """Prints step times, their ratio (A B A B) and the peak of memory; with the argument loop or ours of one alone."""
    keep_heap()
    torch.manual_seed(0)
    net = dso(width=WIDTH, depth=2, share=True).to(memory_format=torch.channels_last)
    block = net[2]
    questions = choices(block)
    x = torch.randn(BATCH, WIDTH, PIXELS, PIXELS).to(memory_format=torch.channels_last).requires_grad_()
    weights = {name: torch.rand(len(c.options), requires_grad=True) for name, c in questions.items()}
    loop = Loop(block)
    only = sys.argv[1:]

    def ours(share: float = 1.0) -> float:
        rng = np.random.default_rng(0)
        picks = {n: np.flatnonzero(rng.random(len(c.options)) < share) for n, c in questions.items()}
        set_gates(block, {n: Gate(tuple(p.tolist()), weights[n][p]) for n, p in picks.items()})
        return step(block, x)

    for name in only:
        times = [ours() if name == "ours" else step(loop, x, weights) for _ in range(ROUNDS)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name}: {statistics.median(times):.3f} s, peak memory of the process {peak:.0f} MiB")
    if only:
        return
    pairs = [(step(loop, x, weights), ours()) for _ in range(ROUNDS)][1:]
    slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"complete block, {BATCH}x{WIDTH}x{PIXELS}x{PIXELS}: loop {slow:.3f} s, ours {fast:.3f} s, {ratio:.2f} times")
    for share in SHARES:
        seconds = statistics.median(ours(share) for _ in range(ROUNDS))
        print(f"{share:4.0%} of the edges: {seconds:.3f} s")


if __name__ == "__main__":
    main()
