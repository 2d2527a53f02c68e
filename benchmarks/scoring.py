"""Evaluating candidates and scoring populations against plain loops, in turn, on the same weights and images.

Evaluation is the forward pass of one candidate in eval mode. A population's scoring is that of an evolution's
generations: batch norms recalibrated for every candidate, then the held-out images.
``--data.root FOLDER`` takes CIFAR-10 for the 32x32 images; they are random otherwise, as the 224x224 ones are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from loops import plain
from loops.cases import Case
from loops.inturn import Job, compare
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.core.derive import derive
from sparsenas.core.gate import set_gates
from sparsenas.nn.bn_folding import fold_batch_norms
from sparsenas.nn.malloc import keep_heap
from sparsenas.objectives import Metrics
from sparsenas.searching.eval_batches import EvalBatches, make_eval_batches
from sparsenas.searching.population_evaluator import Scorer

CANDIDATES = 4
GENERATIONS = 3
MEMORY = 2**30
"""Bytes of the cache: the default of ``--score.cache_memory``."""


def _loss(logits: Tensor, labels: Tensor) -> float:
    return float(F.cross_entropy(logits, labels))


def plain_evaluation(case: Case) -> Job:
    """The supernet under one candidate after another."""
    net = plain.published(case.supernet()).eval()
    ((x, labels),) = case.batches(1)
    x, archs = x.contiguous(), case.paths(CANDIDATES)

    @torch.no_grad()
    def run() -> list[float]:
        losses = []
        for arch in archs:
            set_gates(net, arch.gates())
            losses.append(_loss(net(x), labels))
        return losses

    return Job(run)


def our_evaluation(case: Case) -> Job:
    """Derived candidates with folded batch norms."""
    keep_heap()
    net = _channels_last(case)
    ((x, labels),) = case.batches(1)
    derived = [fold_batch_norms(derive(net, arch.gates()).eval()) for arch in case.paths(CANDIDATES)]

    @torch.no_grad()
    def run() -> list[float]:
        return [_loss(candidate(x), labels) for candidate in derived]

    return Job(run)


def plain_population(case: Case, population: int) -> Job:
    """One candidate after another."""
    net, eval_batches = plain.published(case.supernet()), _exam(case)
    contiguous = EvalBatches(
        tuple(x.contiguous() for x in eval_batches.calibration),
        tuple((x.contiguous(), y) for x, y in eval_batches.val_batches),
    )
    archs = [arch for generation in case.generations(population, GENERATIONS) for arch in generation]
    return Job(lambda: _numbers([plain.score(net, arch, contiguous) for arch in archs]))


def our_population(case: Case, population: int) -> Job:
    """A generation at a time."""
    keep_heap()
    net, eval_batches = _channels_last(case), _exam(case)
    generations = case.generations(population, GENERATIONS)

    def run() -> list[float]:
        scorer = Scorer(net, eval_batches, plain.OBJECTIVE, MEMORY)
        return _numbers([score for archs in generations for score in scorer(archs)])

    return Job(run)


def _channels_last(case: Case) -> nn.Module:
    net: nn.Module = case.supernet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def _exam(case: Case) -> EvalBatches:
    """A batch to calibrate on, and one to ask."""
    return make_eval_batches(case.data(case.batch), case.batch, case.batch, case.batch, 0)


def _numbers(scores: list[Metrics]) -> list[float]:
    return [number for metrics in scores for number in metrics.values()]


def main() -> None:
    """Runs the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data.root", dest="root", type=Path)
    root = parser.parse_args().root
    for case in (Case("shufflenet", 224, 200), Case("nasbench_macro", 32, 200, root)):
        compare(f"{case.title}, {CANDIDATES} candidates", plain_evaluation, our_evaluation, [case], 5)
    for case, population in ((Case("shufflenet", 224, 128), 16), (Case("nasbench_macro", 32, 64, root), 50)):
        count = f"{GENERATIONS} generations of {population}"
        compare(f"{case.title}, {count}", plain_population, our_population, [case, population], 1, warm=False)


if __name__ == "__main__":
    main()
