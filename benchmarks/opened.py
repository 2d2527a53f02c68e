"""Searches of a trained network without supernet training, on digits: sensitivities, evolution, random architectures.

All start from one trained ResNet, opened; each found network is trained on from its inherited weights, equally long.
`python benchmarks/opened.py [SEED]` takes about three minutes on one core.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sparsenas
from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.costs import Budget, CostTable, Limits
from sparsenas.data import Split
from sparsenas.data.sources.digits import digits
from sparsenas.job.stages.candidates import architectures
from sparsenas.methods import Sensitivity, SensitivityFlags, Spos, SposFlags
from sparsenas.methods.base import Method
from sparsenas.objectives import Classification
from sparsenas.searching.config import Scoring
from sparsenas.searching.eval_batches import make_eval_batches
from sparsenas.searching.population_evaluator import Scorer

WIDTH, EPOCHS, MORE = 16, 20, 6
SHAPE = (1, 8, 8)


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution and its batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first, self.second = conv_bn(inputs, outputs, stride=stride), conv_bn(outputs, outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def resnet() -> nn.Module:
    """Seven blocks in three stages, a plain network."""
    w = WIDTH
    blocks = [Residual(w, w), Residual(w, w), Residual(w, 2 * w, 2), Residual(2 * w, 2 * w), Residual(2 * w, 2 * w)]
    blocks += [Residual(2 * w, 4 * w, 2), Residual(4 * w, 4 * w)]
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, 10)]
    return nn.Sequential(*conv_bn(1, w), nn.ReLU(), *blocks, *ends)


def train(net: nn.Module, split: Split, epochs: int, lr: float, seed: int) -> None:
    """SGD with a cosine schedule and the data set's augmentation."""
    torch.manual_seed(seed)
    data = digits()
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=0.9, nesterov=True, weight_decay=1e-4)
    steps = epochs * (len(split) // 64)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(split)).split(64)[: len(split) // 64]:
            x = data.prepared(split.inputs[batch], augment=True)
            loss = F.cross_entropy(net(x), split.targets[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, split: Split) -> float:
    """In percent."""
    found = net(digits().prepared(split.inputs, augment=False)).argmax(1) == split.targets
    return 100 * float(found.float().mean())


def searched(method: Method, limits: Limits, scorer: Scorer) -> tuple[Arch, int, float]:
    """The best architecture, the number of scores and the seconds."""
    started, scoring, objective = time.perf_counter(), Scoring(), Classification(10)
    search = method.search(architectures(limits), np.random.default_rng(0))
    assert search is not None
    asked = 0
    while archs := search.ask():
        asked += len(archs)
        search.tell(archs, [scoring.score(objective, metrics) for metrics in scorer(archs)])
    return search.best, asked, time.perf_counter() - started


def main(seed: int) -> None:
    """Prints a table."""
    data = digits(seed=seed)
    torch.manual_seed(seed)
    net = resnet()
    train(net, data.train, EPOCHS, 0.1, seed)
    space = sparsenas.open(net, torch.zeros(1, *SHAPE)).eval()
    started = time.perf_counter()
    table = CostTable(space, SHAPE)
    whole = float(table([table.extremes("flops")[1]])["flops"][0])
    told = f"trained {accuracy(net, data.test):.2f}, {whole:,.0f} multiply-adds, {len(table.choices)} decisions"
    print(f"{told}, costs {time.perf_counter() - started:.1f} s")
    scoring = Scoring()
    batches = make_eval_batches(data, scoring.calibration, scoring.val, scoring.batch, seed)
    for share in (0.5, 0.25):
        limits = Limits(table, [Budget("flops", at_most=share * whole)])
        scorer = Scorer(space, batches, Classification(10))
        rows = [
            (f"sensitivity, {rounds} rounds", searched(made(rounds, limits), limits, scorer)) for rounds in (1, 2, 3)
        ]
        evolution = Spos(limits.choices, limits, seed, SposFlags(generations=5))
        rows.append(("evolution", searched(evolution, limits, scorer)))
        rng = np.random.default_rng(seed)
        drawn = [limits.draw(rng) for _ in range(8)]
        rows += [("random", (arch, 0, 0.0)) for arch in drawn if arch is not None]
        print(f"budget {share:.0%} | scores | s | share used | inherited val loss, accuracy | retrained test")
        for name, (arch, asked, seconds) in rows:
            metrics, used = scorer([arch])[0], float(table([arch])["flops"][0]) / whole
            plain = derive(space, arch.gates())
            train(plain, data.train_val, MORE, 0.05, seed)
            told = f"{metrics['loss']:.3f}, {100 * metrics['accuracy']:.1f} | {accuracy(plain, data.test):.2f}"
            print(f"{name} | {asked} | {seconds:.1f} | {used:.3f} | {told}", flush=True)


def made(rounds: int, limits: Limits) -> Method:
    """The method of this many rounds."""
    return Sensitivity(limits.choices, limits, 0, SensitivityFlags(rounds=rounds))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
