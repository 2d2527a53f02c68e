"""Random choices, cells and networks for the property tests, and slow references to hold against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Choices
from sparsenas.core.dag import Dag
from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, SliceLinear, Width
from sparsenas.core.gate import Gate, Gates
from sparsenas.core.join import Join
from sparsenas.costs import CostTable
from sparsenas.costs.additive import AdditiveCosts
from sparsenas.nn.blocks import Concat, Residual, Sum

CHANNELS = 4
SHAPE = (CHANNELS, 5, 5)

seeds = st.integers(0, 2**32 - 1)


@st.composite
def choices_of_any_kind(draw: st.DrawFn, name: str = "c", most_options: int = 6) -> Choice:
    n = draw(st.integers(1, most_options))
    least = draw(st.integers(0, n))
    most = draw(st.integers(max(1, least), n))
    return Choice(name, tuple(f"o{i}" for i in range(n)), least, most)


@st.composite
def spaces(draw: st.DrawFn) -> Choices:
    names = draw(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=5, unique=True))
    return {name: draw(choices_of_any_kind(name, 12)) for name in names}


class Line(nn.Module):
    """x -> a x + b: not 0 at 0, and no two alike."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x + self.b


def lines(rng: np.random.Generator, count: int) -> list[Line]:
    return [Line(*rng.uniform(0.5, 2, 2)) for _ in range(count)]


BOUNDS = {"free": (0, None), "fed": (1, None), "one": (1, 1), "mixed": (None, None)}
"""Bounds of the joins of a random Dag; in mixed ones a join that must keep something may have only dead sources."""


def random_join(rng: np.random.Generator, name: str, positions: int, bounds: str) -> Join:
    n = int(rng.integers(1, 4))
    sources = [int(s) for s in rng.integers(0, positions, n)]
    least, most = BOUNDS[bounds]
    low = int(rng.integers(0, 2)) if least is None else least
    high = int(rng.integers(max(1, low), n + 1)) if most is None else most
    return Join(Choice(name, tuple(f"{i}from{s}" for i, s in enumerate(sources)), low, high), lines(rng, n), sources)


def random_dag(seed: int, bounds: str, nodes: int = 4) -> Dag:
    rng = np.random.default_rng(seed)
    inputs, nodes = int(rng.integers(1, 3)), int(rng.integers(1, nodes + 1))
    joins: list[Join | Sum] = [random_join(rng, f"node{i}", inputs + i, bounds) for i in range(nodes)]
    if rng.random() < 0.2:
        joins[0] = Sum(lines(rng, 1), [0])
    if rng.random() < 0.2 and nodes > 1:
        # Two nodes tied by one choice, each with its own sources.
        twin = joins[-1] = random_join(rng, f"node{nodes - 1}", inputs + nodes - 1, bounds)
        sources = [int(s) for s in rng.integers(0, inputs + nodes - 2, len(twin.sources))]
        joins[-2] = Join(twin.choice, lines(rng, len(sources)), sources)
    output = random_join(rng, "output", inputs + nodes, bounds)
    return Dag(inputs, joins, output, lines(rng, nodes))


Term = tuple[Any, ...]


def picked(reader: nn.Module, gates: Gates) -> list[tuple[int, int, float]]:
    """(option, source, weight) of all that a reader reads."""
    if isinstance(reader, Join):
        gate = gates[reader.choice.name]
        weights = [1.0] * len(gate.picks) if gate.weights is None else gate.weights.tolist()
        return [(p, reader.sources[p], w) for p, w in zip(gate.picks, weights, strict=True)]
    assert isinstance(reader, Sum | Concat)
    return [(i, source, 1.0) for i, source in enumerate(reader.sources)]


def slow_dag(dag: Dag, gates: Gates, inputs: list[Tensor]) -> Tensor | None:
    """What a Dag computes, by plain recursion from the output."""

    def read(reader: Any) -> Tensor | None:
        terms = [(o, value(s), w) for o, s, w in picked(reader, gates)]
        fed = [reader.ops[o](v) * w for o, v, w in terms if v is not None]
        return torch.stack(fed).sum(dim=0) if fed else None

    def value(position: int) -> Tensor | None:
        if position < dag.inputs:
            return inputs[position]
        total = read(dag.joins[position - dag.inputs])
        return None if total is None else dag.ops[position - dag.inputs](total)

    return read(dag.output)


def signature(dag: Dag, arch: Arch) -> Term | None:
    """The network that a Dag is under ``arch``, as nested terms; equal networks have equal signatures."""
    gates = arch.gates()

    def read(reader: nn.Module) -> Term | None:
        terms = [(option, value(source)) for option, source, _ in picked(reader, gates)]
        return tuple(term for term in terms if term[1] is not None) or None

    def value(position: int) -> Term | None:
        if position < dag.inputs:
            return ("input", position)
        terms = read(dag.joins[position - dag.inputs])
        return None if terms is None else (position, terms)

    return read(dag.output)


def live_nodes(term: Term | None, inputs: int) -> Iterator[int]:
    """The nodes that occur in a signature."""
    for _, (position, below) in term or ():
        if position != "input":
            yield position - inputs
            yield from live_nodes(below, inputs)


def complete_block(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """One completely connected block of two levels of two operations: a network for DSO-NAS that trains in no time."""
    labels = ("input", "a1", "b1", "a2", "b2")

    def conv(inputs: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, CHANNELS, kernel, padding=kernel // 2), nn.BatchNorm2d(CHANNELS), nn.ReLU()
        )

    def edges(name: str, sources: range) -> Join:
        choice = Choice(name, tuple(labels[source] for source in sources), 0, len(sources))
        return Join(choice, [nn.Identity() for _ in sources], sources)

    joins = [edges(name, range(1 if i < 2 else 3)) for i, name in enumerate(labels[1:])]
    block = Dag(1, joins, edges("output", range(1, 5)), [conv(CHANNELS, kernel) for kernel in (1, 3, 1, 3)])
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, classes))
    return nn.Sequential(conv(shape[0], 3), Added(block), *head)


class Added(nn.Module):
    """x plus what a Dag makes of it, if anything."""

    def __init__(self, dag: Dag) -> None:
        super().__init__()
        self.dag = dag

    def forward(self, x: Tensor) -> Tensor:
        y = self.dag(x)
        return x if y is None else x + y


def op(rng: np.random.Generator, affine: bool = True) -> nn.Module:
    """An operation that keeps the shape; several kinds of last layer."""
    conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=bool(rng.integers(2)))
    norm = nn.BatchNorm2d(CHANNELS, affine=affine)
    return [
        nn.Sequential(conv, norm),
        nn.Sequential(conv, nn.Sequential(norm)),
        nn.Sequential(norm, conv),
        nn.Sequential(conv, norm, nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), norm),
        nn.Identity(),
        Residual(nn.Sequential(conv, norm)),
    ][int(rng.integers(7))]


def block(rng: np.random.Generator, name: str, depth: int = 1) -> nn.Module:
    """A mechanism that keeps the shape; nested ones inside it while ``depth`` allows."""

    def inner(i: int) -> nn.Module:
        if depth and rng.random() < 0.4:
            return block(rng, f"{name}.{i}", depth - 1)
        return op(rng, bool(rng.integers(2)))

    kind = ["join", "several", "dag", "width"][int(rng.integers(4))]
    if kind == "join":
        return Join.of(name, {f"o{i}": inner(i) for i in range(int(rng.integers(1, 4)))})
    if kind == "several":
        return Join.of(name, {f"o{i}": inner(i) for i in range(3)}, least=1, most=3)
    if kind == "width":
        middle = Width(name, (1, 3, 6))
        up = SliceConv2d(CHANNELS, middle, 1)
        wise = SliceConv2d(middle, middle, 3, padding=1, depthwise=True, bias=False)
        down = SliceConv2d(middle, CHANNELS, 1, bias=False)
        return nn.Sequential(up, SliceBatchNorm2d(middle), wise, nn.ReLU(), down)
    nodes = [Choice(f"{name}.n{i}", tuple("abc"), 0, 2) for i in range(2)]
    joins = [Join(node, [inner(3 * i + j) for j in range(3)], [0, i, 0]) for i, node in enumerate(nodes)]
    output = Join(Choice(f"{name}.out", tuple("xyz"), 0, 3), [nn.Identity(), op(rng), nn.Identity()], [0, 1, 2])
    return Added(Dag(1, joins, output, [nn.ReLU(), op(rng)]))


def random_net(seed: int) -> nn.Sequential:
    """A network of two or three mechanisms, maybe with one run twice or two tied, and a head of chosen width."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    blocks = [block(rng, f"b{i}") for i in range(int(rng.integers(1, 4)))]
    if rng.random() < 0.3:
        blocks.append(blocks[0])
    if rng.random() < 0.3:
        blocks += [Join.of("tied", {"a": op(rng), "b": op(rng)}) for _ in range(2)]
    width = Width("head", (2, 5))
    head = (SliceLinear(CHANNELS, width), nn.ReLU(), SliceLinear(width, 3))
    relu = nn.ReLU()
    net = nn.Sequential(relu, *blocks, relu, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)
    unsettle(net)
    return net.double().eval()


def unsettle(net: nn.Module) -> None:
    """Gives every batch norm and its statistics numbers that would show."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d | SliceBatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
                for parameter in module.parameters(recurse=False):
                    parameter.uniform_(0.5, 1.5)


def additive(table: CostTable) -> list[bool]:
    """For each cost of a table, whether it is looked up as a sum over options."""
    return [isinstance(model, AdditiveCosts) for model in table.models.values()]


def weighted(arch: Arch, rng: np.random.Generator) -> Gates:
    """``arch`` with random weights, some negative."""
    gates = {}
    for name, picks in arch.items():
        weights = torch.tensor(rng.uniform(-2, 2, len(picks)), dtype=torch.float32, requires_grad=True)
        gates[name] = Gate(picks, weights.double())
    return gates
