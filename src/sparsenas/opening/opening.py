"""Opens a plain network: finds what may vary in it, and makes it a search space."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.costs.trace import is_shape
from sparsenas.errors import UserError
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.tree import Tree, count, map_tensors, tensors
from sparsenas.opening.blocks import residual_blocks
from sparsenas.opening.capture import capture
from sparsenas.opening.choices import Block, Decider, Groups, Units
from sparsenas.opening.counts import guess_sizes
from sparsenas.opening.coverage import Coverage
from sparsenas.opening.decisions import Decision, Places, find_decisions
from sparsenas.opening.flow import Flow
from sparsenas.opening.importance import Vector, by_weights
from sparsenas.opening.kernels import Kernel, large_kernels
from sparsenas.opening.names import frozen_names
from sparsenas.opening.opened import Cut, OpenedNetwork
from sparsenas.opening.sizes import Size, layer_sizes
from sparsenas.opening.ties import Tie, attention_ties, tie_attention
from sparsenas.opening.verify import findings, runner
from sparsenas.opening.walk import walk

IMAGE = 3
"""Dimensions of one image: channels, height, width."""
SHARES = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
NO_TENSOR = "the block does not return a tensor"
"""Why a block stays whose output its input cannot stand for."""


@dataclass(frozen=True)
class Options:
    """What may vary: the arguments of ``open``. Raises ``UserError``."""

    shares: Sequence[float] = SHARES
    multiple: int = 0
    depth: bool = True
    kernels: bool = True
    groups: bool = False
    freeze: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise UserError(f"shares: expected numbers above 0 and up to 1, got {tuple(self.shares)}")
        if self.multiple < 0:
            raise UserError(f"multiple: expected >= 0, got {self.multiple}")


def open(
    net: nn.Module,
    example: Tree,
    *,
    shares: Sequence[float] = SHARES,
    multiple: int = 0,
    depth: bool = True,
    kernels: bool = True,
    groups: bool = False,
    freeze: Sequence[str] = (),
) -> OpenedNetwork:
    """A copy of a plain network as a search space, with its weights, on the CPU. The network itself stays as it is.

    Args:
        net: any ``nn.Module`` that ``torch.export`` can read, in train or eval mode, on any device.
        example: a batch of inputs: a tensor, or a tree of them, with a first dimension of examples, as
            ``torch.zeros(2, 3, 32, 32)``.
        shares: of a layer's channels that may be kept.
        multiple: channel numbers are multiples of it; 0 for the largest of 8, 4, 2, 1 that is at most an eighth of
            the layer's channels.
        depth: whether residual blocks may be left out.
        kernels: whether kernels of 5 and more may be cut to their middle.
        groups: whether every channel is an option of its own, as sparse methods need, instead of numbers of channels.
            Kernels and residual blocks then stay whole.
        freeze: patterns of the paths of modules that stay as they are, such as ``layer1`` or ``layer1.*``.

    Raises ``UserError`` where the network cannot be read, or where nothing of it can vary.
    """
    return opened_with(net, example, Options(shares, multiple, depth, kernels, groups, freeze))


def opened_with(net: nn.Module, example: Tree, options: Options) -> OpenedNetwork:
    """As ``open``.

    Raises ``UserError`` where the network cannot be read, or where nothing of it can vary.
    """
    if not isinstance(net, nn.Module):
        raise UserError(f"open: expected an nn.Module, got an object of class {type(net).__name__}")
    _check_example(example)
    net, example = deep_copy(net).cpu(), map_tensors(lambda leaf: leaf.detach().cpu(), example)
    flow = walk(capture(net, example))
    tie_attention(flow, net)
    _freeze(flow, net, options.freeze)
    closed: dict[str, str] = {}
    while True:
        draft = _Draft(net, example, flow, options, closed)
        opened = draft.opened()
        told = findings(opened, example)
        if not told.known():
            break
        if draft.tie_heads(told.bad):
            continue
        closed |= told.bad
        for names in told.bound:
            if not draft.unite(names):
                closed[names[0]] = f"bound to {names[1]}"
    if not opened.decisions:
        raise UserError(f"open: nothing of this network can vary: {_why(flow, closed)}")
    opened.example = map_tensors(lambda leaf: leaf[:1], example)
    return opened


def _check_example(example: Tree) -> None:
    """Raises ``UserError`` for a shape in the place of a batch, and for what has no tensors."""
    if is_shape(example) and len(example):
        batch = (2, *example) if len(example) <= IMAGE else tuple(example)
        text = ", ".join(map(str, batch))
        raise UserError(f"open: expected a batch of inputs, as torch.zeros({text}), got the numbers {tuple(example)}")
    if not tensors(example):
        raise UserError(f"open: expected a batch of inputs, a tensor or a tree of them, got {type(example).__name__}")


class _Draft:
    """One attempt to open a network, without the choices that are closed."""

    def __init__(self, net: nn.Module, example: Tree, flow: Flow, options: Options, closed: Mapping[str, str]) -> None:
        self.net, self.example, self.flow, self.options = net, example, flow, options
        self.found = [d for d in find_decisions(flow) if d.name not in closed and len(_counts(d, options)) > 1]
        frozen = frozen_names((n for n, _ in net.named_modules()), options.freeze)
        kernels = large_kernels(net) if options.kernels and not options.groups else []
        self.kernels = [k for k in kernels if f"{k.path}.kernel" not in closed and k.path not in frozen]
        blocks = residual_blocks(flow, net) if options.depth and not options.groups else []
        whole = {f"{path}.depth": NO_TENSOR for path in blocks if path in flow.captured.calls.no_tensor}
        self.closed = {**closed, **whole}
        self.blocks = [path for path in blocks if f"{path}.depth" not in self.closed and path not in frozen]
        self.place = Places(flow.numbers.labels(), dict(enumerate(self.found))).of
        self.scores: dict[int, Vector] = {}
        self.tensors: dict[str, Tensor] = {**dict(net.named_parameters()), **dict(net.named_buffers())}

    def unite(self, names: Sequence[str]) -> bool:
        """Makes one decision of several; whether they have as many units."""
        labels = [torch.tensor(decision.labels) for decision in self.found if decision.name in names]
        fits = len({len(part) for part in labels}) == 1
        for part in labels[1:] if fits else ():
            self.flow.numbers.unite(labels[0], part)
        return fits

    def tie_heads(self, failed: Collection[str]) -> bool:
        """Cuts heads together with the channels that they come from, if the network then runs; whether it does."""
        labels = {label for decision in self.found if decision.name in failed for label in decision.labels}
        ties = attention_ties(self.flow, self.net, labels)
        if not ties:
            return False
        before = copy.deepcopy(self.flow.numbers)
        for one, other in ties:
            self.flow.numbers.unite(one, other)
        runs = not _Draft(self.net, self.example, self.flow, self.options, self.closed).fails(ties)
        self.flow.numbers = self.flow.numbers if runs else before
        return runs

    def fails(self, ties: Sequence[Tie]) -> str:
        """What goes wrong with the fewest of these numbers; nothing where none of them may be cut."""
        opened, labels = self.opened(), {int(n) for heads, _ in ties for n in self.flow.numbers.of(heads).view(-1)}
        names = [decision.name for decision in self.found if labels & {*decision.labels}]
        return runner(opened, self.example)({name: opened.smallest()[name] for name in names})

    def opened(self) -> OpenedNetwork:
        """The search space."""
        cuts = list(self._cuts())
        guesses, before = guess_sizes(self.flow, self.net, self.place), self._sizes()
        # A network may need the likeliest guesses of several classes at once.
        likely = [[size for guess in guesses for size in guess.ways()[way]] for way in (0, -1)]
        sizes = self._told(cuts, before, likely)
        for guess in guesses if sizes is before else ():
            sizes = self._told(cuts, sizes, guess.ways())
        return self._with(cuts, sizes)

    def _with(self, cuts: Sequence[Cut], sizes: Sequence[Size]) -> OpenedNetwork:
        if not self.scores:
            self.scores = by_weights(self.tensors, cuts, {i: d.units for i, d in enumerate(self.found)})
        called = self.flow.captured.calls.with_more
        ordered = [
            replace(d, order=tuple(map(int, np.argsort(-self.scores[i], kind="stable"))))
            for i, d in enumerate(self.found)
        ]
        decisions: list[Decider] = [self._choice(decision) for decision in ordered]
        decisions += [_kernel_choice(kernel) for kernel in self.kernels]
        decisions += [Block(f"{path}.depth", path, path not in called) for path in self.blocks]
        return OpenedNetwork(self.net, decisions, cuts, sizes, self.coverage)

    @cached_property
    def coverage(self) -> Coverage:
        """How much of the network's work is under choice, and why the rest is not."""
        open_, whole, closed = 0, 0, dict(self.closed)
        for product in self.flow.products:
            whole += product.flops
            inside = any(product.owner == path or product.owner.startswith(f"{path}.") for path in self.blocks)
            kernel = any(product.owner == kernel.path for kernel in self.kernels)
            if inside or kernel or self.place(product.ids).decisions():
                open_ += product.flops
            elif product.owner not in self.closed:
                closed[product.owner] = self.flow.numbers.reason(product.ids)
        examples = count(self.example)
        return Coverage(open_ // examples, whole // examples, closed)

    def _choice(self, decision: Decision) -> Units | Groups:
        if self.options.groups:
            return Groups(decision.name, decision.units)
        counts = _counts(decision, self.options)
        return Units(decision.name, counts, [str(count * decision.channels) for count in counts], decision.order)

    def _cuts(self) -> list[Cut]:
        cuts = []
        for (name, dim), ids in self.flow.dims.items():
            positions = self.place(ids)
            if positions.decisions():
                cuts.append(Cut(name, dim, positions, (name, dim) in self.flow.inputs))
        for i, kernel in enumerate(self.kernels, len(self.found)):
            cuts += [Cut(f"{kernel.path}.weight", 2 + d, kernel.positions(i)) for d in range(kernel.dims)]
        return cuts

    def _sizes(self) -> list[Size]:
        names = {id(tensor): name for name, tensor in self.tensors.items()}
        sizes = [s for s in layer_sizes(self.flow, self.net, self.place, names) if any(p.decisions() for p in s.of)]
        for i, kernel in enumerate(self.kernels, len(self.found)):
            sizes += kernel.sizes(i)
        return sizes

    def _told(self, cuts: Sequence[Cut], sizes: list[Size], ways: Sequence[list[Size]]) -> list[Size]:
        """The sizes with the first guess at attributes with which the network runs.

        All decisions are cut at once. Two numbers can be alike by chance then, so of the guesses with which that runs
        one is preferred with which each half of the decisions may be cut.
        """
        concerned = {d for way in ways for size in way for positions in size.of for d in positions.decisions()}
        runs = []
        for way in ways if concerned else ():
            opened = self._with(cuts, [*sizes, *way])
            run, smallest = runner(opened, self.example), [*opened.smallest().items()]
            picks = [smallest[i] for i in sorted(concerned)]
            if not run(dict(picks)):
                runs.append(way)
                if not run(dict(picks[::2])) and not run(dict(picks[1::2])):
                    return [*sizes, *way]
        return [*sizes, *runs[0]] if runs else sizes


def _kernel_choice(kernel: Kernel) -> Units:
    options = kernel.options()
    return Units(f"{kernel.path}.kernel", list(options.values()), list(options), range(kernel.rings))


def _counts(decision: Decision, options: Options) -> list[int]:
    """The numbers of units that may be kept, increasing."""
    channels = decision.units * decision.channels
    multiple = options.multiple or next(m for m in (8, 4, 2, 1) if m * 8 <= channels or m == 1)
    counts = {decision.units}
    for share in options.shares:
        wanted = max(multiple, round(channels * share / multiple) * multiple)
        counts.add(min(decision.units, max(1, round(wanted / decision.channels))))
    return sorted(counts)


def _freeze(flow: Flow, net: nn.Module, patterns: Sequence[str]) -> None:
    """Closes the channels of the modules that patterns name."""
    paths = frozen_names((name for name, _ in net.named_modules()), patterns)
    for (name, _), ids in list(flow.dims.items()):
        if any(name.rpartition(".")[0] == path for path in paths):
            flow.numbers.close(ids, f"frozen ({name})")


def _why(flow: Flow, closed: Mapping[str, str]) -> str:
    reasons = [*dict.fromkeys(flow.numbers.reasons), *closed.values()]
    return "; ".join(reasons[:3]) or "no layer with channels was found"
