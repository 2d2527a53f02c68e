"""A supernet's training step against a plain loop, in turn, on the same weights, images and paths.

``--data.root FOLDER`` takes CIFAR-10 for the 32x32 images; they are random otherwise, as the 224x224 ones are.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from loops import plain
from loops.cases import Case
from loops.inturn import Job, compare
from torch import nn
from torch.optim import SGD

from sparsenas.core.gate import set_gates
from sparsenas.data import Target
from sparsenas.nn.depthwise_grad import DEPTHWISE
from sparsenas.nn.function_overrides import FunctionOverrides
from sparsenas.nn.malloc import keep_heap
from sparsenas.training.loss import training_loss
from sparsenas.training.optimizers import make_optimizer
from sparsenas.training.recipe import Recipe

STEPS, ROUNDS = 4, 5
RECIPE = Recipe(lr=1e-4)
"""The learning rate is small so that rounding, which differs, is not blown up from step to step."""


def plain_steps(case: Case) -> Job:
    """The plain loop."""
    net = plain.published(case.supernet()).train()
    work = [(x.contiguous(), y, arch) for (x, y), arch in zip(case.batches(STEPS), case.paths(STEPS), strict=True)]
    start, optimizers = copy.deepcopy(net.state_dict()), list[SGD]()

    def reset() -> None:
        net.load_state_dict(start)
        optimizers[:] = [plain.sgd(net, RECIPE)]

    def run() -> list[float]:
        return [plain.train_step(net, optimizers[0], RECIPE, arch, x, y).item() for x, y, arch in work]

    return Job(run, reset)


def our_steps(case: Case) -> Job:
    """The same as the library does it."""
    keep_heap()
    net: nn.Module = case.supernet().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    work = [(x, y, arch) for (x, y), arch in zip(case.batches(STEPS), case.paths(STEPS), strict=True)]
    start, optimizers = copy.deepcopy(net.state_dict()), list[SGD]()

    def reset() -> None:
        net.load_state_dict(start)
        optimizers[:] = [make_optimizer(RECIPE, net)]

    def run() -> list[float]:
        losses = []
        for x, labels, arch in work:
            set_gates(net, arch.gates())
            with FunctionOverrides(DEPTHWISE):
                loss = training_loss(plain.OBJECTIVE, RECIPE, net(x), Target(labels))
            losses.append(loss.detach())
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), RECIPE.clip)
            optimizers[0].step()
            optimizers[0].zero_grad(set_to_none=True)
        return torch.stack(losses).tolist()

    return Job(run, reset)


def main() -> None:
    """Runs the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data.root", dest="root", type=Path)
    root = parser.parse_args().root
    macro = [Case("nasbench_macro", 32, batch, root) for batch in (64, 128, 256)]
    for case in (Case("shufflenet", 224, 16), *macro):
        compare(f"{case.title}, batch {case.batch}, {STEPS} steps", plain_steps, our_steps, [case], ROUNDS)


if __name__ == "__main__":
    main()
