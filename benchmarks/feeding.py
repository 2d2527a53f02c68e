"""Whether CIFAR-10 comes fast enough: seconds to load it, and batches made against batches that a step uses up.

    python benchmarks/feeding.py --data.root FOLDER

A batch is made as the training loop makes it: drawn at random, shifted, mirrored, normalised, and cut out where the
method's recipe asks for that. Each supernet's step runs in turn with the making of its batches, in one thread; what
counts is processor time. A rate above 1 means that the batches are made faster than they are used up.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs import CostTable, Limits
from sparsenas.data import Data, Split, Target, cifar10, cutout
from sparsenas.methods import Dso, Ista, Method, Spos
from sparsenas.nn.malloc import keep_heap
from sparsenas.objectives import Classification
from sparsenas.spaces import darts, dso, nasbench_macro
from sparsenas.training.loss import training_loss
from sparsenas.training.optimizers import make_optimizer
from sparsenas.training.recipe import Recipe

ROUNDS, BATCH = 6, 64
SUPERNETS: dict[str, tuple[Callable[..., nn.Module], type[Method]]] = {
    "nasbench_macro, SPOS": (nasbench_macro, Spos),
    "darts, 16 channels, 8 cells, ISTA": (partial(darts, 16, 8), Ista),
    "darts, 4 channels, 3 cells, ISTA": (partial(darts, 4, 3), Ista),
    "dso, 16 channels, 3x2 blocks, DSO": (partial(dso, 16, 2), Dso),
}


def make(data: Data, seed: int, size: int, hole: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch, as the training loop makes it."""
    batch: Split = next(data.train.shuffled(BATCH, seed))
    x = data.prepared(batch.inputs, augment=True, size=size)
    return (cutout(x, hole) if hole else x), batch.targets


def seconds(work: Callable[[], object]) -> float:
    """Of processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(name: str, space: Callable[..., nn.Module], method: type[Method], data: Data, size: int) -> None:
    """Prints how much longer a step takes than the making of its batch."""
    torch.manual_seed(0)
    shape, recipe, hole = (3, size, size), Recipe(lr=1e-3), 0 if method is Spos else 16
    net = space(shape=shape).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    learner, rng = method(choices(net), Limits(CostTable(net, shape)), 0), np.random.default_rng(0)
    optimizer = make_optimizer(recipe, net)

    def step(x: torch.Tensor, labels: torch.Tensor) -> None:
        """Of the weights alone: what a method learns beside them takes time too, and batches of its own."""
        gates = Arch.sample(learner.choices, rng).gates() if method is Spos else learner.gates()
        set_gates(net, gates)
        training_loss(Classification(len(data.classes)), recipe, net(x), Target(labels)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    made, used = [], []
    for seed in range(ROUNDS + 1):
        made.append(seconds(lambda seed=seed: make(data, seed, size, hole)))  # type: ignore[misc]
        batch = make(data, seed, size, hole)
        used.append(seconds(lambda batch=batch: step(*batch)))  # type: ignore[misc]
    ratios = [use / one for use, one in zip(used[1:], made[1:], strict=True)]
    print(
        f"{name:<36} {size}x{size}: {BATCH / statistics.median(made[1:]):9,.0f} images/s made, "
        f"{BATCH / statistics.median(used[1:]):7,.0f} used, {statistics.median(ratios):6.1f}x "
        f"({min(ratios):.1f} to {max(ratios):.1f})",
        flush=True,
    )


def main() -> None:
    """Loads and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data.root", dest="root", type=Path, required=True)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    keep_heap()
    before, start, busy = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
    data = cifar10(flags.root)
    wall, spent = time.perf_counter() - start, time.process_time() - busy
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"60 000 images in {wall:.1f} s ({spent:.1f} s of processor time); memory at most {after / 1024:,.0f} MiB, "
        f"{before / 1024:,.0f} of it before"
    )
    for name, (space, method) in SUPERNETS.items():
        for size in (16, 32) if method is Spos else (32,):
            compare(name, space, method, data, size)


if __name__ == "__main__":
    main()
