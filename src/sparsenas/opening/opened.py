"""A plain network whose channels, kernels and blocks may be cut: its own code, run on slices of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.choice import Picks
from sparsenas.core.derive import Derivable
from sparsenas.nn.calls import put_at
from sparsenas.nn.clone import clone_sharing_parameters
from sparsenas.nn.tree import Tree, arguments
from sparsenas.opening.choices import Block, Decider, Groups
from sparsenas.opening.coverage import Coverage
from sparsenas.opening.positions import Positions, State
from sparsenas.opening.sizes import Size

STATES = 64
"""States of each tensor and each size whose results are kept."""


@dataclass(frozen=True, eq=False)
class Cut:
    """One dimension of a parameter or buffer, and the units along it."""

    name: str
    dim: int
    positions: Positions
    reads: bool = False
    """Whether a layer reads its input along this dimension."""


class OpenedNetwork(Derivable):
    """A network of the user's own class with open decisions. Its code runs on those slices of weights that are kept.

    ``net`` is the network itself; its class and its ``forward`` are as they were.
    """

    def __init__(
        self,
        net: nn.Module,
        decisions: Sequence[Decider],
        cuts: Sequence[Cut],
        sizes: Sequence[Size],
        coverage: Coverage = Coverage(),  # noqa: B008
    ) -> None:
        super().__init__()
        self.net = net
        self.decisions = nn.ModuleList(decisions)
        self.cuts, self.sizes = tuple(cuts), tuple(sizes)
        self.coverage = coverage
        """How much was opened, and why the rest was not."""
        self.notes: tuple[str, ...] = ()
        """What was changed of the network before it was opened, a line each."""
        self.example: Tree = None
        """The input of one example as a batch of one, on which it was opened."""
        self.code = f"{type(net).__name__}(...)"
        """How the network is built without sparsenas."""
        self._needs = _needs(decisions, cuts)
        self._held = _held(net, {cut.name for cut in cuts})
        self._recurrent = [path for path, module in net.named_modules() if isinstance(module, nn.RNNBase)]
        self._changed = {d.choice.name: self._modules_of(i, d) for i, d in enumerate(decisions)}
        self._indices: dict[tuple[int, tuple[State, ...]], Tensor | None] = {}
        self._sized: dict[tuple[int, tuple[State, ...]], int | tuple[int, ...]] = {}

    def states(self) -> list[State]:
        """The units of every decision that are kept now."""
        return [decision.state() for decision in self._decisions()]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the user's network under the gates that are set; called as the network takes it."""
        if kwargs and not args:
            args, kwargs = arguments(self.net, kwargs)
        states = self.states()
        parts = self.slices(states)
        with self._arranged(states, parts):
            output = self.net(*args, **kwargs)
        if self.training:
            self._keep_statistics(parts, states)
        return output

    def slices(self, states: Sequence[State]) -> dict[str, Tensor]:
        """What is left of the parameters and buffers that are cut, by name."""
        parts: dict[str, Tensor] = {}
        for i, cut in enumerate(self.cuts):
            index = self._index(i, states)
            scales = self._scales(cut) if cut.reads else None
            if index is not None or scales is not None:
                parts[cut.name] = _sliced(parts.get(cut.name, self._tensor(cut.name)), cut.dim, index, scales)
        return parts

    def derived(self) -> nn.Module:
        """A network of the user's own class with smaller layers, without the blocks that are skipped."""
        states = self.states()
        small = clone_sharing_parameters(self.net)
        parts = self.slices(states)
        made = {name: self._copied(name, part) for name, part in parts.items()}
        for path, own, name in self._held:
            if name in made:
                _held_in(small.get_submodule(path), own)[own] = made[name]
        self._resize(small, states)
        self._relink(small)
        for block in self._skipped():
            put_at(small, block.path, block.instead())
        return small.train(self.training)

    def skipped(self) -> list[str]:
        """The paths of the blocks that do not run now."""
        return [block.path for block in self._skipped()]

    def changed_by(self, choice: str) -> frozenset[str]:
        """The paths of the modules that differ where this decision does."""
        return self._changed[choice]

    def largest(self) -> dict[str, Picks]:
        """The picks of the network itself."""
        return {decision.choice.name: decision.largest for decision in self._decisions()}

    def smallest(self) -> dict[str, Picks]:
        """The picks of the smallest network."""
        return {decision.choice.name: decision.smallest for decision in self._decisions()}

    def active_choices(self) -> Iterator[tuple[str, Picks]]:
        """The decisions about something that runs."""
        skipped = [f"{path}." for path in self.skipped()]
        for decision, needs in zip(self._decisions(), self._needs, strict=True):
            if not needs or not all(any(path.startswith(s) for s in skipped) for path in needs):
                yield decision.choice.name, decision.gate.picks

    def _modules_of(self, index: int, decision: Decider) -> frozenset[str]:
        cut = {cut.name for cut in self.cuts if index in cut.positions.decisions()}
        sized = {size.path for size in self.sizes for positions in size.of if index in positions.decisions()}
        block = {decision.path} if isinstance(decision, Block) else set()
        return frozenset({path for path, _, name in self._held if name in cut} | sized | block)

    def _decisions(self) -> list[Decider]:
        return list(self.decisions)  # type: ignore[arg-type]

    def _skipped(self) -> list[Block]:
        return [decision for decision in self.decisions if isinstance(decision, Block) and not decision.runs]

    def _tensor(self, name: str) -> Tensor:
        path, _, own = name.rpartition(".")
        module = self.net.get_submodule(path)
        tensor = module._parameters.get(own, module._buffers.get(own))
        assert tensor is not None
        return tensor

    def _copied(self, name: str, part: Tensor) -> Any:
        """A slice as a parameter or buffer of its own."""
        value, whole = part.detach().clone(memory_format=torch.contiguous_format), self._tensor(name)
        return nn.Parameter(value, whole.requires_grad) if isinstance(whole, nn.Parameter) else value

    def _index(self, i: int, states: Sequence[State]) -> Tensor | None:
        """The positions of a cut that are kept, as a tensor; each is found once."""
        positions = self.cuts[i].positions
        key = i, tuple(states[d] for d in positions.decisions())
        if key not in self._indices:
            _bounded(self._indices, len(self.cuts))
            kept = positions.kept(states)
            self._indices[key] = None if kept is None else torch.from_numpy(kept)
        return self._indices[key]

    def _scales(self, cut: Cut) -> Tensor | None:
        """A factor for each position along which a layer reads, where decisions have weights."""
        factors: Tensor | None = None
        for d in cut.positions.decisions():
            decision = self.decisions[d]
            scales = decision.scales() if isinstance(decision, Groups) else None
            if scales is not None:
                here = torch.from_numpy(np.flatnonzero(cut.positions.decision == d)).to(scales.device)
                units = torch.from_numpy(cut.positions.unit).to(scales.device)[here]
                factors = scales.new_ones(len(cut.positions.unit)) if factors is None else factors
                factors = factors.index_put((here,), scales[units])
        return factors

    @contextmanager
    def _arranged(self, states: Sequence[State], parts: Mapping[str, Tensor]) -> Iterator[None]:
        """The network with slices in place of its weights, of these sizes, without the blocks that are skipped.

        ``torch.func.functional_call`` would leave slices behind in modules that the network holds twice.
        """
        self._resize(self.net, states)
        held = [
            (_held_in(self.net.get_submodule(path), own), own, name) for path, own, name in self._held if name in parts
        ]
        whole = [place[own] for place, own, _ in held]
        skipped = self._skipped()
        gone = [self.net.get_submodule(block.path) for block in skipped]
        try:
            for place, own, name in held:
                place[own] = parts[name]
            self._relink(self.net)
            for block in skipped:
                put_at(self.net, block.path, block.instead())
            yield
        finally:
            for block, module in zip(skipped, gone, strict=True):
                put_at(self.net, block.path, module)
            for (place, own, _), tensor in zip(held, whole, strict=True):
                place[own] = tensor
            self._relink(self.net)
            self._resize(self.net, [None] * len(states))

    def _relink(self, net: nn.Module) -> None:
        """LSTMs and GRUs run on a list of their parameters, which follows those that they hold now."""
        for path in self._recurrent:
            module = net.get_submodule(path)
            module._flat_weights = [module._parameters[name] for name in module._flat_weights_names]  # type: ignore[union-attr, assignment]

    def _resize(self, net: nn.Module, states: Sequence[State]) -> None:
        """Sets the attributes of modules that hold numbers of channels."""
        for i, size in enumerate(self.sizes):
            key = i, tuple(states[d] for positions in size.of for d in positions.decisions())
            if key not in self._sized:
                _bounded(self._sized, len(self.sizes))
                self._sized[key] = size.value(states)
            setattr(net.get_submodule(size.path), size.attribute, self._sized[key])

    def _keep_statistics(self, parts: Mapping[str, Tensor], states: Sequence[State]) -> None:
        """Running statistics of the channels that are kept go back into the whole ones."""
        buffers = dict(self.net.named_buffers())
        for i, cut in enumerate(self.cuts):
            index = self._index(i, states)
            if cut.name in parts and cut.name in buffers and index is not None and buffers[cut.name].ndim == 1:
                buffers[cut.name].index_copy_(0, index.to(parts[cut.name].device), parts[cut.name].detach())


def _sliced(tensor: Tensor, dim: int, index: Tensor | None, scales: Tensor | None) -> Tensor:
    if scales is not None:
        shape = [1] * tensor.ndim
        shape[dim] = -1
        tensor = tensor * scales.view(shape)
    return tensor if index is None else tensor.index_select(dim, index.to(tensor.device))


def _bounded(cache: dict[Any, Any], entries: int) -> None:
    """Empties a cache that has grown to many states of every entry, as while single channels are pruned."""
    if len(cache) > STATES * entries:
        cache.clear()


def _held_in(module: nn.Module, name: str) -> dict[str, Any]:
    """The parameters or the buffers of a module, whichever has this name."""
    return module._parameters if name in module._parameters else module._buffers


def _held(net: nn.Module, cut: set[str]) -> list[tuple[str, str, str]]:
    """Where the tensors that are cut are held: the path of a module, the name there, and the tensor's first name."""
    first = {id(t): name for name, t in (*net.named_parameters(), *net.named_buffers())}
    held: list[tuple[str, str, str]] = []
    for path, module in net.named_modules():
        for own, tensor in (*module._parameters.items(), *module._buffers.items()):
            name = "" if tensor is None else first[id(tensor)]
            if name in cut:
                held.append((path, own, name))
    return held


def _needs(decisions: Sequence[Decider], cuts: Sequence[Cut]) -> list[set[str]]:
    """The names of the tensors that each decision cuts; a block cuts none."""
    needs: list[set[str]] = [set() for _ in decisions]
    for cut in cuts:
        for d in cut.positions.decisions():
            needs[d].add(cut.name)
    return needs
