"""Drawings of architectures: the graphs that spaces hand over, and the places of their lines and boxes."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.nets import BOUNDS, picked, random_dag
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize
from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.drawing import Drawing, draw
from sparsenas.core.gate import choices
from sparsenas.core.graph import Graph, GraphEdge, GraphNode
from sparsenas.core.join import Join
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Concat
from sparsenas.reporting.arch_svg import Svg, graph
from sparsenas.spaces import darts, dso, nasbench201, tiny
from sparsenas.spaces.genotype import Genotype
from sparsenas.spaces.nasbench201 import EDGES
from sparsenas.spaces.published import PUBLISHED

CELLS = dict(PUBLISHED["ista_twostage"].arch)


def edges(drawn: Graph) -> set[tuple[str, str, str]]:
    """Edges as names: source, operation, target."""
    return {(drawn.nodes[e.source].name, e.operation, drawn.nodes[e.target].name) for e in drawn.edges}


def test_cells_are_drawn_once_of_each_kind() -> None:
    net = darts(width=2, cells=3)
    drawing = draw(net, Arch.from_json(choices(net), CELLS))
    normal, reduction = drawing.graphs
    assert (normal.title, reduction.title) == ("normal", "reduce")
    for drawn, kind in ((normal, "normal"), (reduction, "reduce")):
        names = ["input 1", "input 2", *(f"node {i}" for i in (1, 2, 3, 4)), "output"]
        assert [node.name for node in drawn.nodes] == names
        kept = {
            (names[int(source)], op, f"node {i}")
            for i in (1, 2, 3, 4)
            for source, op in (label.split(":") for label in CELLS[f"{kind}.node{i}"])
        }
        assert edges(drawn) == kept | {(f"node {i}", "", "output") for i in (1, 2, 3, 4)}
    assert drawing.notation == str(Genotype.of(CELLS))


def test_complete_blocks_are_drawn() -> None:
    net = dso(width=2, depth=1, shape=(1, 8, 8))
    arch = Arch(choices(net), {name: range(len(choice.options)) for name, choice in choices(net).items()})
    graphs = draw(net, arch).graphs
    assert [drawn.title for drawn in graphs] == [f"stage{i}.block1" for i in (1, 2, 3)]
    assert len(graphs[0].nodes) == 1 + 16 + 1 + 1
    assert len(graphs[0].edges) == 4 + 124 + 2, "into the first level, the choices, sum and shortcut"
    assert [node.column for node in graphs[0].nodes] == [0, *(level for level in (1, 2, 3, 4) for _ in range(4)), 5, 6]
    assert len(draw(dso(width=2, depth=2, share=True, shape=(1, 8, 8)), shared()).graphs) == 1


def shared() -> Arch:
    net = dso(width=2, depth=2, share=True, shape=(1, 8, 8))
    return Arch(choices(net), {name: range(len(choice.options)) for name, choice in choices(net).items()})


def test_what_does_not_run_is_not_drawn() -> None:
    """A node that nothing feeds, its edges, and a node that nothing reads."""
    joins = [
        Join(Choice(name, ("x", "y")[:n], 0, n), [nn.Identity()] * n, range(n)) for n, name in ((1, "a"), (2, "b"))
    ]
    dag = Dag(1, joins, Join(Choice("out", ("b",), 0, 1), [nn.Identity()], [2]))
    (drawn,) = draw(dag, Arch(choices(dag), {"a": (), "b": (0, 1), "out": (0,)})).graphs
    assert edges(drawn) == {("input", "", "node 2"), ("node 2", "", "output")}


def test_a_space_may_draw_itself() -> None:
    class Own(nn.Sequential):
        def drawing(self, arch: Arch) -> Drawing:
            return Drawing((), arch.text())

    own = Own(*tiny(shape=(1, 8, 8)))
    arch = Arch(choices(own), {name: choice.first() for name, choice in choices(own).items()})
    assert draw(own, arch).notation == arch.text()
    assert draw(tiny(shape=(1, 8, 8)), arch) == Drawing()


class Cell(nn.Module):
    """Two paths of choices that meet twice, an operation that is none, and a choice that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        ops = {"conv": nn.Conv2d(2, 2, 1), "skip": nn.Identity()}
        self.paths = nn.ModuleDict({name: Join.of(f"cell.{name}", ops) for name in ("left", "right", "unread")})
        self.first = Join.of("cell.first", ops)
        self.last = Join(Choice("cell.last", ("0:conv", "1:skip"), 1, 2), ops.values(), (0, 1))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        left, right = self.paths["left"](y), self.paths["right"](y)
        self.paths["unread"](x)
        return x + self.last(self.act(left + right), right)


def test_cells_that_wire_choices_themselves_are_drawn() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), Cell(), Cell())
    picks = {"left": "conv", "right": "skip", "unread": "skip", "first": "conv", "last": ["0:conv", "1:skip"]}
    arch = Arch.from_json(choices(net), {f"cell.{name}": label for name, label in picks.items()})
    (drawn,) = draw(net, arch).graphs
    assert drawn.title == "cell"
    assert edges(drawn) == {
        ("x", "conv", "node 1"),
        ("node 1", "conv", "node 2"),
        ("node 1", "skip", "node 2"),
        ("node 2", "", "act"),
        ("node 1", "skip", "node 3"),
        ("act", "conv", "output"),
        ("node 3", "skip", "output"),
        ("x", "", "output"),
    }
    assert overlaps(graph(drawn)) == []


def test_nasbench201_is_drawn_as_a_graph() -> None:
    net = nasbench201(width=2, cells=2)
    rng = np.random.default_rng(0)
    for _ in range(5):
        arch = Arch.sample(choices(net), rng)
        (drawn,) = draw(net, arch).graphs
        names = ["x", "node 1", "node 2", "output"]
        assert edges(drawn) == {(names[start], arch.to_json()[f"{end}<-{start}"], names[end]) for start, end in EDGES}
        assert overlaps(graph(drawn)) == []


class Chain(nn.Module):
    """Two choices one after the other, in a forward of its own; with ``branches`` one that depends on values."""

    def __init__(self, branches: bool) -> None:
        super().__init__()
        ops = {"conv": nn.Conv2d(2, 2, 1), "skip": nn.Identity()}
        self.one, self.two, self.branches = Join.of("one", ops), Join.of("two", ops), branches

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.two(self.one(x))
        return y + x if self.branches and x.sum() > 0 else y


@pytest.mark.parametrize("branches", [False, True])
def test_chains_and_what_cannot_be_followed_are_not_drawn(branches: bool) -> None:
    net = Chain(branches)
    assert draw(net, Arch(choices(net), {"one": (0,), "two": (1,)})) == Drawing()


def test_operations_of_a_dag_of_ones_own_are_named() -> None:
    """Without a colon in its label too, but for what only passes its source on."""
    ops = [nn.Conv2d(2, 2, 1), nn.Identity()]
    dag = Dag(1, [Join(Choice("a", ("conv", "input"), 1, 2), ops, (0, 0))], Concat([1]))
    (drawn,) = draw(dag, Arch(choices(dag), {"a": (0, 1)})).graphs
    assert edges(drawn) == {("input", "conv", "node 1"), ("input", "", "node 1"), ("node 1", "", "output")}


def test_labels_are_one_per_node() -> None:
    join = Join(Choice("a", ("x",), 0, 1), [nn.Identity()])
    with pytest.raises(UserError, match="expected 1 labels, one per node, got 2"):
        Dag(1, [join], Concat([1]), labels=("a", "b"))
    assert Dag(1, [join], Concat([1]), labels=("a",)).labels == ("a",)


@given(st.integers(0, 10_000), st.sampled_from(sorted(BOUNDS)))
def test_edges_are_those_that_run(seed: int, bounds: str) -> None:
    """Of random graphs: what the picks read of live nodes, in columns that only go to the right."""
    rng, dag = np.random.default_rng(seed), random_dag(seed, bounds)
    arch = canonicalize(dag, Arch(choices(dag), {n: c.sample(rng) for n, c in choices(dag).items()}))
    for drawn in draw(dag, arch).graphs:
        assert len(drawn.nodes) == dag.inputs + len(dag.live()) + 1
        positions = [*range(dag.inputs), *(dag.inputs + i for i in dag.live()), dag.inputs + len(dag.joins)]
        readers = [*((dag.inputs + i, dag.joins[i]) for i in dag.live()), (positions[-1], dag.output)]
        reads = [(source, to) for to, reader in readers for _, source, _ in picked(reader, arch.gates())]
        drawn_edges = [(positions[edge.source], positions[edge.target]) for edge in drawn.edges]
        assert sorted(drawn_edges) == sorted(pair for pair in reads if pair[0] in positions)
        assert all(drawn.nodes[edge.source].column < drawn.nodes[edge.target].column for edge in drawn.edges)
        assert overlaps(graph(drawn)) == []


def overlaps(svg: Svg) -> list[tuple[str, str]]:
    """Boxes of nodes that lie upon each other or outside the drawing."""
    boxes = [box for box in svg.boxes if not (box.kind == "kept" and box.label != box.title)]
    crossed = [
        (a.title, b.title)
        for a, b in combinations(boxes, 2)
        if a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height
    ]
    outside = [b for b in svg.boxes if b.x < 0 or b.y < 0 or b.x + b.width > svg.width or b.y + b.height > svg.height]
    return crossed + [(box.title, "outside") for box in outside]


def test_lines_of_a_staircase_pass_no_node() -> None:
    """Each runs level above the nodes that it passes and goes down in front of its end."""
    net = darts(width=2, cells=3)
    for drawn in draw(net, Arch.from_json(choices(net), CELLS)).graphs:
        svg = graph(drawn)
        assert overlaps(svg) == []
        frames = [box for box in svg.boxes if box.kind == "frame"]
        assert [box.title for box in frames] == ["node 1", "node 2", "node 3", "node 4"]
        for line in svg.lines:
            x, y, to = map(float, re.match(r"M([\d.]+) ([\d.]+)H([\d.-]+)", line).groups())  # type: ignore[union-attr]
            passed = [f for f in frames if x < f.x + f.width / 2 < to]
            assert all(not frame.y < y < frame.y + frame.height for frame in passed)
        assert svg.told.count(" through ") == 8
        assert "node 1 reads input" in svg.told


def test_long_and_strange_names_stay_inside() -> None:
    nodes = (GraphNode("<b>" * 40, 0, 0.0), GraphNode("x" * 500, 1, 0.0), GraphNode("", 2, 0.0))
    svg = graph(Graph("", nodes, (GraphEdge(0, 1, "o" * 300), GraphEdge(1, 2))))
    assert overlaps(svg) == []
    assert svg.title == "all blocks"
    assert all(len(box.label) * 6 <= box.width for box in svg.boxes)
