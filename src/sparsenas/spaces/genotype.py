"""Cells in the notation of DARTS: two (operation, predecessor) pairs per node, for normal and for reduction cells."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import NamedTuple

from sparsenas.errors import UserError

OPS = (
    "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip
"""The operations of a connection, in order."""
NODES = 4
KEPT = 2
"""Connections that a node keeps."""
KINDS = ("normal", "reduce")

Connections = tuple[tuple[str, int], ...]
Labels = dict[str, str | list[str]]


class Genotype(NamedTuple):
    """The connections of both kinds of cells, node after node, in any order within a node."""

    normal: Connections
    reduce: Connections

    def __str__(self) -> str:
        concat = list(range(2, 2 + NODES))
        return (
            f"Genotype(normal={list(self.normal)}, normal_concat={concat}, "
            f"reduce={list(self.reduce)}, reduce_concat={concat})"
        )

    @classmethod
    def parse(cls, text: str) -> Genotype:
        """Reads the text of ``str``, which is the text of DARTS's and ISTA-NAS's codes. Raises ``UserError``."""
        try:
            call = ast.parse(text.strip(), mode="eval").body
            assert isinstance(call, ast.Call)
            parts = {word.arg: word.value for word in call.keywords}
            cells = [ast.literal_eval(parts[kind]) for kind in KINDS]
            return cls(*(tuple((str(op), int(source)) for op, source in cell) for cell in cells))
        except (SyntaxError, AssertionError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"genotype: expected Genotype(normal=[(op, predecessor), ...], ..., reduce=[...], ...), got {text!r}"
            ) from error

    @classmethod
    def of(cls, labels: Mapping[str, object]) -> Genotype:
        """From an architecture's labels, as ``Arch.to_json`` gives them."""
        return cls(*(_connections(labels, kind) for kind in KINDS))

    def labels(self) -> Labels:
        """An architecture's labels, for ``Arch.from_json``. Raises ``UserError`` when the connections are no cells."""
        return {name: kept for kind, cell in zip(KINDS, self, strict=True) for name, kept in _nodes(kind, cell).items()}


def node_name(kind: str, node: int) -> str:
    """The name of the choice of a node, counted from 0."""
    return f"{kind}.node{node + 1}"


def _connections(labels: Mapping[str, object], kind: str) -> Connections:
    found: list[tuple[str, int]] = []
    for node in range(NODES):
        kept = labels[node_name(kind, node)]
        assert isinstance(kept, list)
        pairs = [str(label).split(":") for label in kept]
        found += [(op, int(source)) for source, op in pairs]
    return tuple(found)


def _nodes(kind: str, cell: Connections) -> Labels:
    if len(cell) != KEPT * NODES:
        raise UserError(f"genotype: expected {KEPT * NODES} connections of {kind} cells, got {len(cell)}")
    for i, (op, source) in enumerate(cell):
        if op not in OPS or not 0 <= source < 2 + i // KEPT:
            raise UserError(
                f"genotype: expected an operation of {', '.join(OPS)} on a predecessor 0..{1 + i // KEPT} "
                f"in node {i // KEPT + 1} of {kind} cells, got {(op, source)}"
            )
    nodes = [
        sorted(cell[i : i + KEPT], key=lambda pair: (pair[1], OPS.index(pair[0]))) for i in range(0, len(cell), KEPT)
    ]
    return {node_name(kind, i): [f"{source}:{op}" for op, source in node] for i, node in enumerate(nodes)}
