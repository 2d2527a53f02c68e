"""Drawings of architectures as plain data, which a run folder keeps and a report shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Protocol, runtime_checkable

from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.cells import cell_graph, wires_itself
from sparsenas.core.dag import Dag
from sparsenas.core.gate import Gated, set_gates
from sparsenas.core.graph import Graph, GraphEdge, GraphNode
from sparsenas.core.join import Join
from sparsenas.nn.blocks import Concat, Sum


@dataclass(frozen=True)
class Drawing:
    """What a report shows of an architecture: graphs, and the text by which the field knows it, if there is such."""

    graphs: tuple[Graph, ...] = ()
    notation: str = ""


@runtime_checkable
class Drawn(Protocol):
    """A space that draws its architectures itself."""

    def drawing(self, arch: Arch) -> Drawing:
        """What a report shows of an architecture."""
        ...


def draw(net: nn.Module, arch: Arch) -> Drawing:
    """The drawing that the space makes itself, else its cells: every ``Dag``, and what else wires choices itself."""
    if isinstance(net, Drawn):
        return net.drawing(arch)
    return Drawing((*dag_graphs(net, arch), *own_graphs(net, arch)))


def dag_graphs(net: nn.Module, arch: Arch) -> Iterator[Graph]:
    """Every ``Dag`` of a network under an architecture; of several that share their choices the first."""
    set_gates(net, arch.gates())
    drawn: set[tuple[str, ...]] = set()
    for dag in (module for module in net.modules() if isinstance(module, Dag)):
        names = tuple(part.choice.name for part in (*dag.joins, dag.output) if isinstance(part, Join))
        if names not in drawn:
            drawn.add(names)
            yield _graph(dag, commonprefix(names).rpartition(".")[0])


def own_graphs(net: nn.Module, arch: Arch) -> Iterator[Graph]:
    """Every module that wires choices in its own forward; of several that share their choices the first."""
    set_gates(net, arch.gates())
    drawn: set[tuple[str, ...]] = set()
    for module in net.modules():
        if isinstance(module, Dag) or not wires_itself(module):
            continue
        names = tuple(part.choice.name for part in module.modules() if isinstance(part, Gated))
        if names not in drawn:
            drawn.add(names)
            if (
                graph := cell_graph(module, commonprefix(names).rpartition(".")[0] or type(module).__name__)
            ) is not None:
                yield graph


def _graph(dag: Dag, title: str) -> Graph:
    """The live nodes of a ``Dag`` in columns, a column a level."""
    inputs = ["input"] if dag.inputs == 1 else [f"input {i + 1}" for i in range(dag.inputs)]
    labels = dag.labels or [f"node {i + 1}" for i in range(len(dag.joins))]
    columns = [inputs, *([labels[i] for i in level] for level in dag.levels), ["output"]]
    nodes = [
        GraphNode(name, column, i - (len(names) - 1) / 2)
        for column, names in enumerate(columns)
        for i, name in enumerate(names)
    ]
    alive = [*range(dag.inputs), *(dag.inputs + i for i in dag.live()), len(nodes) - 1]
    number = {position: i for i, position in enumerate(alive)}
    readers = [*((dag.inputs + i, dag.joins[i]) for i in dag.live()), (alive[-1], dag.output)]
    edges = [
        GraphEdge(number[source], number[position], operation)
        for position, reader in readers
        for source, operation in _reads(reader)
        if source in number
    ]
    return Graph(title, tuple(nodes[position] for position in alive), tuple(edges))


def _reads(reader: nn.Module) -> Sequence[tuple[int, str]]:
    """The sources of a node and the operations on them: what stands behind the colon in labels such as 0:conv.

    A label without one names an operation, too, unless the option only passes its source on.
    """
    if isinstance(reader, Join):
        return [(reader.sources[pick], _operation(reader, pick)) for pick in reader.gate.picks]
    assert isinstance(reader, Sum | Concat)
    return [(source, "") for source in reader.reads()]


def _operation(reader: Join, pick: int) -> str:
    label, colon, behind = reader.choice.options[pick].partition(":")
    return behind if colon else "" if isinstance(reader.ops[pick], nn.Identity) else label
