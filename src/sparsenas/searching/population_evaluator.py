"""Scores of populations on inherited weights: batch norm recalibrated, then metrics on validation examples."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.distributed.collectives import all_gather, rank_slice
from sparsenas.objectives import Metrics, Objective
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.searching.fastest_way import fastest_way
from sparsenas.searching.lru import Cache
from sparsenas.searching.way import Way

Progress = Callable[[float], object]
"""Called with the number of candidates that are scored, of which parts count."""
Say = Callable[[str], object]
"""Takes a line for the user."""


class Scorer:
    """Scores populations on one supernet and the same examples; equal to scoring one candidate after another.

    A population takes one pass over the examples. Candidates that share a prefix of picks share its activations and
    batch norm statistics, also with earlier populations, as far as they fit into ``memory`` bytes. On validation
    examples, batch norms are folded into the convolutions before them, which changes rounding only. The supernet's
    weights must not change between calls.

    The first call compares some candidates with ``searching/reference.py``. Where they differ, less is shared, and
    ``say`` is told so in one line.

    Of several processes each takes its share of the batches, and all get all scores. Scores do not depend on the
    number of processes: what is counted in a batch is added up in the order of the batches.
    """

    def __init__(
        self,
        net: nn.Module,
        eval_batches: EvalBatches,
        objective: Objective,
        memory: int = 0,
        say: Say = lambda line: None,
    ) -> None:
        kinds = {p.dtype for p in net.parameters() if p.is_floating_point()}
        self._all = eval_batches.to(*kinds) if len(kinds) == 1 else eval_batches
        self.eval_batches = self._all.part(rank_slice())
        self.examples, self.objective = eval_batches.examples, objective
        self.net, self.cache, self.say = net, Cache(memory), say
        self._way: Way | None = None

    def way(self, archs: Sequence[Arch]) -> Way:
        """How the candidates are run, found out with some of the first ones. Raises ``UserError``."""
        if self._way is None:
            self._way = fastest_way(self.net, self._all, self.cache, archs, self.say)
        return self._way

    @torch.no_grad()
    def __call__(self, archs: Sequence[Arch], progress: Progress = lambda candidates: None) -> list[Metrics]:
        """The metrics of the candidates, in order. Raises ``UserError`` for a network that cannot be served."""
        distinct = list(dict.fromkeys(archs))
        val, tick = self.eval_batches.val_batches, self._counter(progress)
        found: list[dict[int, Tensor]] = [{} for _ in val]
        for batch, candidate, output in self.way(distinct).outputs(distinct, tick):
            found[batch][candidate] = self.objective.sums(output, val[batch][1])
        sums = torch.stack([torch.stack([row[candidate] for candidate in range(len(distinct))]) for row in found])
        # Added one by one: the order of a sum over a dimension depends on how many candidates there are.
        results = [self.objective.result(total) for total in functools.reduce(torch.add, all_gather(sums).cpu())]
        known = dict(zip(distinct, results, strict=True))
        return [known[arch] for arch in archs]

    def _counter(self, progress: Progress) -> Callable[[], object]:
        """The function to call after each batch of a candidate."""
        batches, done = len(self.eval_batches.calibration) + len(self.eval_batches.val_batches), itertools.count(1)
        return lambda: progress(next(done) / batches)


def score_population(
    net: nn.Module, archs: Sequence[Arch], eval_batches: EvalBatches, objective: Objective
) -> list[Metrics]:
    """Scores candidates on a supernet whose weights may have changed since the last call."""
    return Scorer(net, eval_batches, objective)(archs)
