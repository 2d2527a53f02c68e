"""Outputs of whole populations, whose candidates share the segments of equal first picks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.distributed.collectives import all_gather, all_reduce_sum, rank_slice
from sparsenas.nn.recalibration import MeanStatistics
from sparsenas.nn.tree import Tree, call, device_of, map_tensors, tensors
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.searching.lru import Cache
from sparsenas.searching.trie import Node, Trie
from sparsenas.searching.way import Tick, Way


class _ChangedInputError(Exception):
    """A segment changed its input in place, which it had not done before."""


class PrefixSharing(Way):
    """Runs a network's segments in order, each once for all candidates with the same picks up to it.

    Args:
        segments: run in order on each other's output, they are the network.
        batches: those of all processes.
        cache: keeps activations and recalibrated segments for later populations.
        folds: whether batch norms are folded into the convolutions before them on validation examples.
        alone: run all batches in this process, without the others.
    """

    def __init__(
        self, segments: Sequence[nn.Module], batches: EvalBatches, cache: Cache, folds: bool, alone: bool = False
    ) -> None:
        self.batches = batches if alone else batches.part(rank_slice())
        self.device = device_of(batches.val_batches[0][0])
        self.trie, self.cache, self.folds, self.alone = Trie(segments), cache, folds, alone
        self.in_place: dict[Hashable, bool] = {}
        """Whether a segment works on its input in place, as seen at its first run."""
        self.always_copies = False

    def outputs(self, archs: Sequence[Arch], tick: Tick) -> Iterator[tuple[int, int, Tree]]:
        """As ``Way.outputs``. A segment that depends on the data to work in place makes it start again."""
        try:
            yield from self._run_all(archs, tick)
        except _ChangedInputError:
            self.always_copies, self.cache = True, Cache(self.cache.limit)
            yield from self._run_all(archs, tick)

    def _run_all(self, archs: Sequence[Arch], tick: Tick) -> Iterator[tuple[int, int, Tree]]:
        self.cache.begin()
        root = self.trie.grow(archs, self.cache)
        self._calibrate(root, tick)
        for batch, (x, _) in enumerate(self.batches.val_batches):
            for leaf, output in self._run(root, x, False, batch):
                yield batch, leaf, output
                tick()

    def _calibrate(self, root: Node, tick: Tick) -> None:
        """Gives every new node the mean statistics of the calibration batches."""
        new = self._unknown(root)
        statistics = MeanStatistics(node.calibrating for node in new)
        for batch, x in enumerate(self.batches.calibration):
            for _ in self._run(root, x, True, batch):
                tick()
            statistics.collect()
        statistics.set((lambda rows: rows) if self.alone else all_gather)
        statistics.end()
        for node in new:
            segment = node.finish(self.folds)
            if node.leaf is None:
                self.cache.put(node.prefix, segment, sum(t.nbytes for t in segment.state_dict().values()))

    def _unknown(self, root: Node) -> list[Node]:
        """The nodes that are not calibrated yet, or not in every process, whose caches may hold different ones."""
        nodes = list(root.walk())
        missing = torch.tensor([node.evaluating is None for node in nodes], dtype=torch.long, device=self.device)
        counts = (missing if self.alone else all_reduce_sum(missing)).tolist()
        new = [node for node, count in zip(nodes, counts, strict=True) if count > 0]
        for node in new:
            node.evaluating = None
        return new

    def _run(self, root: Node, x: Tree, calibrate: bool, batch: int) -> Iterator[tuple[int, Tree]]:
        """Runs the trie on one batch, depth first, so that memory is one activation per level; yields the outputs."""

        def visit(node: Node, inputs: Callable[[], Tree]) -> Iterator[tuple[int, Tree]]:
            outputs = functools.cache(lambda: self._outputs(node, inputs, calibrate, batch))
            if node.evaluating is None:
                outputs()  # its statistics are needed, whether or not anything below needs its outputs
            if node.leaf is not None:
                yield node.leaf, outputs()
            for child in node.children.values():
                yield from visit(child, outputs)

        for child in root.children.values():
            yield from visit(child, lambda: x)

    def _outputs(self, node: Node, inputs: Callable[[], Tree], calibrate: bool, batch: int) -> Tree:
        """The output of a node for one batch, from the cache where possible; nobody changes it in place."""
        key = node.prefix, calibrate, batch
        kept = None if node.evaluating is None else self.cache.get(key, object)
        if kept is not None:
            return kept
        first, kind, x = len(node.prefix) == 1, (len(node.prefix), node.prefix[-1], calibrate), inputs()
        copies = first or self.always_copies or self.in_place.get(kind, True)
        x = map_tensors(Tensor.clone, x) if copies else x
        versions = _versions(x)
        segment = node.calibrating if calibrate or node.evaluating is None else node.evaluating
        outputs = call(segment, x) if first else segment(x)
        self.in_place[kind] = _versions(x) != versions
        if self.in_place[kind] and not copies:
            raise _ChangedInputError
        if node.leaf is None:
            self.cache.put(key, outputs, sum(leaf.untyped_storage().nbytes() for leaf in tensors(outputs)))
        return outputs


def _versions(x: Tree) -> list[int]:
    return [leaf._version for leaf in tensors(x)]
