"""Scoring architectures on inherited weights: recalibrate batch norm, then count hits on held-out images.

``score_one`` is the slow, obvious reference; ``Scorer`` gives the same numbers for less work.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Picks
from sparsenas.core.derive import derive
from sparsenas.core.elastic import SliceBatchNorm2d
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.quant_choice import Bits
from sparsenas.data import Data, Images
from sparsenas.data.dataset import order_of
from sparsenas.distributed.collectives import all_gather, all_reduce_sum, rank_slice
from sparsenas.nn.bn_folding import fold_batch_norms
from sparsenas.nn.clone import clone_sharing_parameters
from sparsenas.searching.evolution import Score
from sparsenas.searching.lru import Cache


@runtime_checkable
class Segmented(Protocol):
    """A network that runs an ordered list of segments, each on the output of the one before."""

    def segments(self) -> Sequence[nn.Module]:
        """The segments in order."""
        ...


@dataclass(frozen=True)
class EvalBatches:
    """The images that every candidate of a search is scored on, already normalised, in batches."""

    calibration: tuple[Tensor, ...]
    """Batches of equal size whose statistics batch norm averages; none = it keeps the supernet's own."""
    questions: tuple[tuple[Tensor, Tensor], ...]
    """Held-out batches with their labels."""

    @property
    def images(self) -> int:
        """How many images are asked."""
        return sum(len(labels) for _, labels in self.questions)

    def part(self, share: slice) -> EvalBatches:
        """Some of the batches."""
        return EvalBatches(self.calibration[share], self.questions[share])


def make_eval_batches(data: Data, calibration: int, val: int, batch: int, seed: int) -> EvalBatches:
    """Picks fixed, seeded images: ``calibration`` of the train split, ``val`` (0 = all) of the held-out split.

    Calibration images are used in whole batches; 0 = batch norm keeps the supernet's own statistics.
    """
    shown = _subset(data.train, calibration, seed)
    asked = _subset(data.val, val or len(data.val), seed)
    size = max(1, min(batch, len(shown)))
    equal = [part for part in shown.batches(size) if len(part) == size]
    return EvalBatches(
        tuple(data.inputs(part.images) for part in equal),
        tuple((data.inputs(part.images), part.labels) for part in asked.batches(batch)),
    )


def _subset(split: Images, count: int, seed: int) -> Images:
    order = order_of(len(split), seed)[:count]
    return split.subset(order.sort().values.to(split.labels.device))


def _sum_up(hits: Tensor, loss: Tensor, images: int) -> Score:
    return Score(int(hits) / images, -float(loss) / images)


def _marks(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Hits and summed cross-entropy of a batch."""
    logits = logits.float()
    return (logits.argmax(1) == labels).sum(), F.cross_entropy(logits, labels, reduction="sum").double()


@torch.no_grad()
def score_one(net: nn.Module, arch: Arch, eval_batches: EvalBatches) -> Score:
    """The reference: one candidate on a copy of the supernet.

    Resets the batch-norm statistics, averages those of the calibration batches in train mode (dropout and the like stay
    off), then counts hits in eval mode. Without calibration batches the supernet's own statistics stay.
    """
    net = copy.deepcopy(net).eval()
    set_gates(net, arch.gates())
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm | SliceBatchNorm2d)]
    for norm in norms:
        norm.train()
    for i, x in enumerate(eval_batches.calibration):
        for norm in norms:
            norm.momentum = 1 / (i + 1)  # the first batch replaces what was there, the i-th makes a running mean
        net(x)
    net.eval()
    hits, loss = torch.zeros(()), torch.zeros((), dtype=torch.double)
    for x, labels in eval_batches.questions:
        hit, lost = _marks(net(x), labels)
        hits, loss = hits.to(hit) + hit, loss.to(lost) + lost
    return _sum_up(hits, loss, eval_batches.images)


Prefix = tuple[tuple[Picks, ...], ...]
"""The picks of a network's first segments."""


@dataclass
class _Node:
    """A segment behind one prefix; candidates with that prefix share it."""

    prefix: Prefix
    plain: nn.Module
    """The derived segment, its batch norms not calibrated."""
    asked: nn.Module | None
    """The segment as the questions see it; ``None`` until it is calibrated."""
    children: dict[tuple[Picks, ...], _Node] = field(default_factory=dict)
    leaf: int | None = None
    """Which candidate ends here."""
    _shown: nn.Module | None = None

    def walk(self) -> Iterator[_Node]:
        """This node and all below."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    @property
    def shown(self) -> nn.Module:
        """The segment as the calibration images see it: with batch norms of its own in train mode."""
        if self._shown is None:
            self._shown = clone_sharing_parameters(self.plain)
            for norm in _norms(self._shown):
                norm.train()
                norm.momentum = 1.0  # its statistics are those of the last batch
        return self._shown

    def finish(self, fold: bool) -> nn.Module:
        """Ends the calibration; returns the segment to ask."""
        segment = self.shown.eval()
        self._shown, self.asked = None, fold_batch_norms(segment) if fold else segment
        return self.asked


def _norms(module: nn.Module) -> list[_BatchNorm]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


def _statistics(norm: _BatchNorm) -> list[Tensor]:
    return [t for t in (norm.running_mean, norm.running_var) if t is not None]


def _segments(net: nn.Module) -> list[nn.Module]:
    """The parts of the network that run one after another; neighbours without choices are joined."""
    parts = (
        list(net) if isinstance(net, nn.Sequential) else list(net.segments()) if isinstance(net, Segmented) else [net]
    )
    joined: list[nn.Module] = []
    plain: list[nn.Module] = []
    for part in parts:
        if choices(part):
            joined += [nn.Sequential(*plain), part] if plain else [part]
            plain = []
        else:
            plain.append(part)
    return joined + ([nn.Sequential(*plain)] if plain else [])


class Scorer:
    """Scores populations on one supernet and one eval_batches; equal to ``score_one`` of every candidate.

    A whole population takes one pass over the eval_batches, and candidates that share a prefix of picks share its
    activations and batch-norm statistics, which depend on nothing else: also with earlier populations, as far as
    they fit into ``memory`` bytes. For the questions, batch norms are folded into the convolutions before them, which
    changes rounding only. The supernet's weights must not change between calls.

    Of several processes each takes its share of the batches, and all get all scores, which do not depend on how many
    they are: what is found in a batch is added up in the order of the batches.
    """

    def __init__(self, net: nn.Module, eval_batches: EvalBatches, memory: int = 0) -> None:
        self.eval_batches, self.images = eval_batches.part(rank_slice()), eval_batches.images
        self.device = eval_batches.questions[0][1].device
        self.cache = Cache(memory)
        self.segments = [(segment, tuple(choices(segment))) for segment in _segments(net)]
        self.plain: dict[tuple[int, tuple[Picks, ...]], nn.Module] = {}
        """The derived segments so far, by position and picks."""
        self.in_place: dict[Hashable, bool] = {}
        """Whether a segment works on its input in place, as seen at its first run."""
        # Rounding in front of a quantiser may tip an activation to its next level, which is more than rounding.
        self.folds = not any(isinstance(module, Bits) for module in net.modules())

    @torch.no_grad()
    def __call__(self, archs: Sequence[Arch]) -> list[Score]:
        """The scores of the candidates, in order."""
        self.cache.begin()
        distinct = list(dict.fromkeys(archs))
        root = self._grow(distinct)
        self._calibrate(root)
        marks = torch.zeros(len(self.eval_batches.questions), 2, len(distinct), dtype=torch.double, device=self.device)
        for batch, (x, labels) in enumerate(self.eval_batches.questions):
            for leaf, logits in self._run(root, x, False, batch):
                marks[batch, 0, leaf], marks[batch, 1, leaf] = _marks(logits, labels)
        hits, losses = all_gather(marks).cpu().sum(0)
        scores = [_sum_up(hit, loss, self.images) for hit, loss in zip(hits, losses, strict=True)]
        known = dict(zip(distinct, scores, strict=True))
        return [known[arch] for arch in archs]

    def _grow(self, archs: Sequence[Arch]) -> _Node:
        """The trie of the candidates, below a node of nothing."""
        root = _Node((), nn.Identity(), nn.Identity())
        for index, arch in enumerate(archs):
            node = root
            for position, (segment, names) in enumerate(self.segments):
                key = tuple(arch[name] for name in names)
                if key not in node.children:
                    if (position, key) not in self.plain:
                        self.plain[position, key] = derive(segment, arch.gates(), share_weights=True).eval()
                    prefix = (*node.prefix, key)
                    node.children[key] = _Node(prefix, self.plain[position, key], self.cache.get(prefix, nn.Module))
                node = node.children[key]
            node.leaf = index
        return root

    def _calibrate(self, root: _Node) -> None:
        """Averages the statistics of the calibration batches in every new node, then folds them in."""
        new = self._unknown(root)
        statistics = [t for node in new for norm in _norms(node.shown) for t in _statistics(norm)]
        rows = [torch.empty(0, sum(len(t) for t in statistics), device=self.device)]
        for batch, x in enumerate(self.eval_batches.calibration):
            for _ in self._run(root, x, True, batch):
                pass
            rows += [torch.cat(statistics)[None]] if statistics else []
        seen = all_gather(torch.cat(rows))
        if len(seen) > 0:
            for t, values in zip(statistics, seen.double().mean(0).split([len(t) for t in statistics]), strict=True):
                t.copy_(values)
        for node in new:
            segment = node.finish(self.folds)
            if node.leaf is None:
                self.cache.put(node.prefix, segment, sum(t.nbytes for t in segment.state_dict().values()))

    def _unknown(self, root: _Node) -> list[_Node]:
        """The nodes that are not calibrated yet, or not in every process, whose memories may hold different ones."""
        nodes = list(root.walk())
        missing = all_reduce_sum(
            torch.tensor([node.asked is None for node in nodes], dtype=torch.long, device=self.device)
        )
        new = [node for node, count in zip(nodes, missing.tolist(), strict=True) if count > 0]
        for node in new:
            node.asked = None
        return new

    def _run(self, root: _Node, x: Tensor, calibrate: bool, batch: int) -> Iterator[tuple[int, Tensor]]:
        """Runs the trie on one batch, depth first, so that memory is one activation a level; yields the logits."""

        def visit(node: _Node, inputs: Callable[[], Tensor]) -> Iterator[tuple[int, Tensor]]:
            outputs = functools.cache(lambda: self._outputs(node, inputs, calibrate, batch))
            if node.asked is None:
                outputs()  # its statistics are wanted, whether or not anything below needs its outputs
            if node.leaf is not None:
                yield node.leaf, outputs()
            for child in node.children.values():
                yield from visit(child, outputs)

        for child in root.children.values():
            yield from visit(child, lambda: x)

    def _outputs(self, node: _Node, inputs: Callable[[], Tensor], calibrate: bool, batch: int) -> Tensor:
        """What a node makes of one batch, looked up if possible; nobody changes it in place."""
        key = node.prefix, calibrate, batch
        kept = None if node.asked is None else self.cache.get(key, Tensor)
        if kept is not None:
            return kept
        kind, x = (len(node.prefix), node.prefix[-1], calibrate), inputs()
        x = x.clone() if self.in_place.get(kind, True) else x
        version = x._version
        outputs: Tensor = (node.shown if calibrate or node.asked is None else node.asked)(x)
        self.in_place[kind] = x._version != version
        if node.leaf is None:
            self.cache.put(key, outputs, outputs.untyped_storage().nbytes())
        return outputs


def score_population(net: nn.Module, archs: Sequence[Arch], eval_batches: EvalBatches) -> list[Score]:
    """Scores candidates on a supernet whose weights may have changed since the last call."""
    return Scorer(net, eval_batches)(archs)
