"""Scores of populations on inherited weights: batch norm recalibrated, then metrics on validation examples."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.quant_choice import Bits
from sparsenas.distributed.collectives import all_gather, all_reduce_sum, rank_slice
from sparsenas.nn.recalibration import MeanStatistics
from sparsenas.nn.tree import device_of
from sparsenas.objectives import Metrics, Objective
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.searching.lru import Cache
from sparsenas.searching.trie import Node, Trie

Progress = Callable[[float], object]
"""Called with the number of candidates that are scored, of which parts count."""


class Scorer:
    """Scores populations on one supernet and the same examples; equal to scoring one candidate after another.

    A population takes one pass over the examples. Candidates that share a prefix of picks share its activations and
    batch norm statistics, also with earlier populations, as far as they fit into ``memory`` bytes. On validation
    examples, batch norms are folded into the convolutions before them, which changes rounding only. The supernet's
    weights must not change between calls.

    Of several processes each takes its share of the batches, and all get all scores. Scores do not depend on the
    number of processes: what is counted in a batch is added up in the order of the batches.
    """

    def __init__(self, net: nn.Module, eval_batches: EvalBatches, objective: Objective, memory: int = 0) -> None:
        self.eval_batches = eval_batches.part(rank_slice())
        self.examples, self.objective = eval_batches.examples, objective
        self.device = device_of(eval_batches.val_batches[0][1])
        self.trie, self.cache = Trie(net), Cache(memory)
        self.in_place: dict[Hashable, bool] = {}
        """Whether a segment works on its input in place, as seen at its first run."""
        # Rounding in front of a quantizer may tip an activation to its next level, which is more than rounding.
        self.folds = not any(isinstance(module, Bits) for module in net.modules())

    @torch.no_grad()
    def __call__(self, archs: Sequence[Arch], progress: Progress = lambda candidates: None) -> list[Metrics]:
        """The metrics of the candidates, in order."""
        self.cache.begin()
        distinct = list(dict.fromkeys(archs))
        root = self.trie.grow(distinct, self.cache)
        tick = self._counter(progress)
        self._calibrate(root, tick)
        val = self.eval_batches.val_batches
        rows: list[list[Tensor]] = []
        for batch, (x, targets) in enumerate(val):
            found = {}
            for leaf, output in self._run(root, x, False, batch):
                found[leaf] = self.objective.sums(output, targets)
                tick()
            rows.append([found[leaf] for leaf in range(len(distinct))])
        sums = torch.stack([torch.stack(row) for row in rows])
        # Added one by one: the order of a sum over a dimension depends on how many candidates there are.
        results = [self.objective.result(total) for total in functools.reduce(torch.add, all_gather(sums).cpu())]
        known = dict(zip(distinct, results, strict=True))
        return [known[arch] for arch in archs]

    def _counter(self, progress: Progress) -> Callable[[], object]:
        """The function to call after each batch of a candidate."""
        batches, done = len(self.eval_batches.calibration) + len(self.eval_batches.val_batches), itertools.count(1)
        return lambda: progress(next(done) / batches)

    def _calibrate(self, root: Node, tick: Callable[[], object]) -> None:
        """Gives every new node the mean statistics of the calibration batches."""
        new = self._unknown(root)
        statistics = MeanStatistics(node.calibrating for node in new)
        for batch, x in enumerate(self.eval_batches.calibration):
            for _ in self._run(root, x, True, batch):
                tick()
            statistics.collect()
        statistics.set(all_gather)
        statistics.end()
        for node in new:
            segment = node.finish(self.folds)
            if node.leaf is None:
                self.cache.put(node.prefix, segment, sum(t.nbytes for t in segment.state_dict().values()))

    def _unknown(self, root: Node) -> list[Node]:
        """The nodes that are not calibrated yet, or not in every process, whose caches may hold different ones."""
        nodes = list(root.walk())
        missing = all_reduce_sum(
            torch.tensor([node.evaluating is None for node in nodes], dtype=torch.long, device=self.device)
        )
        new = [node for node, count in zip(nodes, missing.tolist(), strict=True) if count > 0]
        for node in new:
            node.evaluating = None
        return new

    def _run(self, root: Node, x: Tensor, calibrate: bool, batch: int) -> Iterator[tuple[int, Tensor]]:
        """Runs the trie on one batch, depth first, so that memory is one activation per level; yields the logits."""

        def visit(node: Node, inputs: Callable[[], Tensor]) -> Iterator[tuple[int, Tensor]]:
            outputs = functools.cache(lambda: self._outputs(node, inputs, calibrate, batch))
            if node.evaluating is None:
                outputs()  # its statistics are needed, whether or not anything below needs its outputs
            if node.leaf is not None:
                yield node.leaf, outputs()
            for child in node.children.values():
                yield from visit(child, outputs)

        for child in root.children.values():
            yield from visit(child, lambda: x)

    def _outputs(self, node: Node, inputs: Callable[[], Tensor], calibrate: bool, batch: int) -> Tensor:
        """The output of a node for one batch, from the cache where possible; nobody changes it in place."""
        key = node.prefix, calibrate, batch
        kept = None if node.evaluating is None else self.cache.get(key, Tensor)
        if kept is not None:
            return kept
        kind, x = (len(node.prefix), node.prefix[-1], calibrate), inputs()
        x = x.clone() if self.in_place.get(kind, True) else x
        version = x._version
        outputs: Tensor = (node.calibrating if calibrate or node.evaluating is None else node.evaluating)(x)
        self.in_place[kind] = x._version != version
        if node.leaf is None:
            self.cache.put(key, outputs, outputs.untyped_storage().nbytes())
        return outputs


def score_population(
    net: nn.Module, archs: Sequence[Arch], eval_batches: EvalBatches, objective: Objective
) -> list[Metrics]:
    """Scores candidates on a supernet whose weights may have changed since the last call."""
    return Scorer(net, eval_batches, objective)(archs)
