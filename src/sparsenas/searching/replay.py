"""Candidates of a network that runs its own code: what comes before their first difference is run once for all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices
from sparsenas.distributed.collectives import all_gather, rank_slice
from sparsenas.nn.bn_folding import fold_batch_norms
from sparsenas.nn.calls import CallOrder, found_at, put_at
from sparsenas.nn.recalibration import MeanStatistics, use_batch_statistics
from sparsenas.nn.tree import Tree, call_on_copy
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.searching.tape import InputDiffersError, Tape
from sparsenas.searching.way import Tick, Way


@runtime_checkable
class OwnCode(Protocol):
    """A network whose candidates are all copies of one network, with other numbers in some of its modules."""

    net: nn.Module
    """That network; the modules of candidates have the paths of its modules."""

    def changed_by(self, choice: str) -> Collection[str]:
        """The paths of the modules that differ where this choice does."""
        ...


@dataclass(frozen=True)
class _Turn:
    """A candidate, and what it has in common with the one that runs before it."""

    index: int
    net: nn.Module
    shared: tuple[str, ...]
    """The paths of the modules that are those of the candidate before, and give what they gave there."""


class Replaying(Way):
    """Runs candidates in an order in which neighbours differ late; each replays the calls before its first difference.

    Up to that, code that depends on its input alone does the very same. A module all of whose calls come before is the
    neighbour's own, so that its batch norms are calibrated once.

    Args:
        net: the supernet.
        batches: those of all processes.
        limit: bytes of the outputs that are kept for the next candidate.
        folds: whether batch norms are folded into the convolutions before them on validation examples.
        alone: run all batches in this process, without the others.
    """

    def __init__(self, net: OwnCode, batches: EvalBatches, limit: int, folds: bool, alone: bool = False) -> None:
        assert isinstance(net, nn.Module)
        self.supernet, self.limit, self.folds, self.alone = net, limit, folds, alone
        self.batches = batches if alone else batches.part(rank_slice())
        self.order = CallOrder(net.net, batches.first(1, 1).val_batches[0][0])
        names = tuple(choices(net))
        self.changed = {name: frozenset(map(self.order.called, net.changed_by(name))) for name in names}
        self.names = sorted(names, key=lambda name: self.order.first(self.changed[name]))
        """The choices, those that matter first in a run first."""
        self.shares = True

    def outputs(self, archs: Sequence[Arch], tick: Tick) -> Iterator[tuple[int, int, Tree]]:
        """As ``Way.outputs``. Code that reads a module's weights before it calls it makes it start again."""
        try:
            yield from self._run_all(archs, tick)
        except InputDiffersError:
            self.shares = False
            yield from self._run_all(archs, tick)

    def _run_all(self, archs: Sequence[Arch], tick: Tick) -> Iterator[tuple[int, int, Tree]]:
        turns = self._turns(archs)
        every = nn.ModuleList(turn.net for turn in turns)
        self._calibrate(turns, every, tick)
        if self.folds:
            fold_batch_norms(every)
        for batch, (x, _) in enumerate(self.batches.val_batches):
            for turn, output in self._run(turns, x):
                yield batch, turn.index, output
                tick()

    def _turns(self, archs: Sequence[Arch]) -> list[_Turn]:
        """The candidates in the order of their runs, their networks made of shared modules where that is possible."""
        turns: list[_Turn] = []
        for index in sorted(range(len(archs)), key=lambda i: [archs[i][name] for name in self.names]):
            net = derive(self.supernet, archs[index].gates(), share_weights=True).eval()
            before = turns[-1] if turns and self.shares else None
            turns.append(_Turn(index, net, self._share(before, net, archs, index) if before else ()))
        return turns

    def _share(self, before: _Turn, net: nn.Module, archs: Sequence[Arch], index: int) -> tuple[str, ...]:
        """Puts modules of the candidate before into the network of this one; returns their paths."""
        one, other = archs[before.index], archs[index]
        differs = [path for name in self.names if one[name] != other[name] for path in self.changed[name]]
        shared = {path: module for path in self.order.done_before(differs) if (module := found_at(before.net, path))}
        for path, module in shared.items():
            for name in self.order.names[path]:
                put_at(net, name, module)
        return tuple(shared)

    def _calibrate(self, turns: Sequence[_Turn], every: nn.Module, tick: Tick) -> None:
        """Gives every batch norm the mean statistics of the calibration batches."""
        use_batch_statistics(every)
        statistics = MeanStatistics([every])
        for x in self.batches.calibration:
            for _ in self._run(turns, x):
                tick()
            statistics.collect()
        statistics.set((lambda rows: rows) if self.alone else all_gather)
        statistics.end()
        every.eval()

    def _run(self, turns: Sequence[_Turn], x: Tree) -> Iterator[tuple[_Turn, Tree]]:
        """The outputs of all candidates for one batch."""
        kept = frozenset(path for turn in turns for path in turn.shared)
        tape, before = Tape(kept, self.limit), None
        for turn in turns:
            alike = [path for path in turn.shared if before and found_at(before, path) is found_at(turn.net, path)]
            with tape.run(turn.net, alike):
                output = call_on_copy(turn.net, x)
            yield turn, output
            before = turn.net
