"""The candidates of a population as a trie: candidates with equal first picks share the nodes of these picks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Picks
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices
from sparsenas.nn.bn_folding import fold_batch_norms
from sparsenas.nn.clone import clone_sharing_parameters
from sparsenas.nn.recalibration import use_batch_statistics
from sparsenas.searching.lru import Cache

Prefix = tuple[tuple[Picks, ...], ...]
"""The picks of a network's first segments."""


@dataclass
class Node:
    """A segment behind one prefix; candidates with that prefix share it."""

    prefix: Prefix
    plain: nn.Module
    """The derived segment, with the supernet's batch norm statistics."""
    evaluating: nn.Module | None
    """The segment with statistics of its own, for validation images; ``None`` until it is calibrated."""
    children: dict[tuple[Picks, ...], Node] = field(default_factory=dict)
    leaf: int | None = None
    """Which candidate ends here."""
    _calibrating: nn.Module | None = None

    def walk(self) -> Iterator[Node]:
        """This node and all below."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    @property
    def calibrating(self) -> nn.Module:
        """The segment for calibration images: a copy whose batch norms normalise by the batch."""
        if self._calibrating is None:
            self._calibrating = clone_sharing_parameters(self.plain)
            use_batch_statistics(self._calibrating)
        return self._calibrating

    def finish(self, fold: bool) -> nn.Module:
        """Ends the calibration; returns the segment for validation images."""
        segment = self.calibrating.eval()
        self._calibrating, self.evaluating = None, fold_batch_norms(segment) if fold else segment
        return self.evaluating


class Trie:
    """Makes the nodes of populations; segments that were derived once are used again."""

    def __init__(self, segments: Sequence[nn.Module]) -> None:
        self.segments = [(segment, tuple(choices(segment))) for segment in segments]
        self.plain: dict[tuple[int, tuple[Picks, ...]], nn.Module] = {}
        """The derived segments by position and picks."""

    def grow(self, archs: Sequence[Arch], calibrated: Cache) -> Node:
        """The nodes of the candidates, below an empty root; ``calibrated`` has segments by prefix."""
        root = Node((), nn.Identity(), nn.Identity())
        for index, arch in enumerate(archs):
            node = root
            for position, (_, names) in enumerate(self.segments):
                key = tuple(arch[name] for name in names)
                if key not in node.children:
                    prefix = (*node.prefix, key)
                    node.children[key] = Node(
                        prefix, self._derived(position, key, arch), calibrated.get(prefix, nn.Module)
                    )
                node = node.children[key]
            node.leaf = index
        return root

    def _derived(self, position: int, key: tuple[Picks, ...], arch: Arch) -> nn.Module:
        if (position, key) not in self.plain:
            segment = self.segments[position][0]
            self.plain[position, key] = derive(segment, arch.gates(), share_weights=True).eval()
        return self.plain[position, key]
