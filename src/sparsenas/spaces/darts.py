"""The cell spaces of DARTS (Liu et al., ICLR 2019) in the form of ISTA-NAS (Yang et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.drawing import Drawing, dag_graphs
from sparsenas.core.join import Join
from sparsenas.errors import UserError, check_at_least
from sparsenas.nn.auxiliary_head import AuxiliaryHead
from sparsenas.nn.blocks import Concat, DropPath, dilated_conv, factorized_reduce, relu_conv_bn, separable_conv
from sparsenas.spaces.genotype import KEPT, NODES, OPS, Genotype, node_name

ClosingNorms = Literal["none", "pools", "all"]
"""Which operations without a last batch norm get one: none, the poolings, or all, the identity included."""


def darts(
    width: int = 16,
    cells: int = 8,
    closing_norms: ClosingNorms = "pools",
    affine: bool = False,
    shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
) -> nn.Module:
    """Builds the space for small images; the defaults are the network of the two-stage search.

    A stem of three times ``width`` channels is followed by cells of two inputs and four nodes. The cells at a third and
    at two thirds of the depth halve the image and double the width. Each node keeps two connections; a connection is an
    operation on a predecessor, and both may have the same predecessor. All normal cells are alike, and all cells that
    halve the image. The published networks have a width of 36, 20 cells and no closing norms.

    DARTS requires two distinct predecessors; ``--method.distinct_sources true`` does so.

    Args:
        width: channels of the nodes of the first cells.
        cells: number of cells, 3 or more.
        closing_norms: which operations without a last batch norm get one: none; pools = poolings; all = poolings and
            the identity.
        affine: batch norms in cells have a learned scale and shift; in retrained networks they always have.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    stem = nn.Sequential(nn.Conv2d(shape[0], 3 * width, 3, padding=1, bias=False), nn.BatchNorm2d(3 * width))
    body = _cells(3 * width, 3 * width, width, cells, False, closing_norms, affine)
    return CellNetwork(stem, nn.Identity(), body, classes)


def darts_imagenet(
    width: int = 48,
    cells: int = 14,
    closing_norms: ClosingNorms = "none",
    affine: bool = False,
    shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
) -> nn.Module:
    """Builds the space for large images: the cells of ``darts`` after a stem that halves the image three times.

    As in the released codes of DARTS and ISTA-NAS, the auxiliary head has no last batch norm.

    Args:
        width: channels of the nodes of the first cells.
        cells: number of cells, 3 or more.
        closing_norms: which operations without a last batch norm get one: none; pools = poolings; all = poolings and
            the identity.
        affine: batch norms in cells have a learned scale and shift; in retrained networks they always have.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    stem = nn.Sequential(*_halving(shape[0], width // 2), nn.ReLU(inplace=True), *_halving(width // 2, width))
    second = nn.Sequential(nn.ReLU(), *_halving(width, width))
    body = _cells(width, width, width, cells, True, closing_norms, affine)
    return CellNetwork(stem, second, body, classes, last_norm=False)


class Cell(nn.Module):
    """Brings two inputs to one shape, runs the nodes on them and concatenates the nodes."""

    def __init__(self, first: nn.Module, second: nn.Module, nodes: Dag, outputs: int) -> None:
        super().__init__()
        self.first, self.second, self.nodes, self.outputs = first, second, nodes, outputs

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        y: Tensor = self.nodes(self.first(before), self.second(last))
        return y


class CellNetwork(nn.Module):
    """Cells that each read the outputs of the two before; the classifier reads the last."""

    def __init__(
        self, stem: nn.Module, second: nn.Module, cells: list[Cell], classes: int, last_norm: bool = True
    ) -> None:
        super().__init__()
        self.stem, self.second, self.cells = stem, second, nn.ModuleList(cells)
        self.deep = 2 * len(cells) // 3
        """The last cell that halves the image; the auxiliary head reads its output."""
        self.auxiliary = AuxiliaryHead(cells[self.deep].outputs, classes, last_norm=last_norm)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cells[-1].outputs, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the output of the last cell that halves the image."""
        before = self.stem(x)
        last = deep = self.second(before)
        for i, cell in enumerate(self.cells):
            before, last = last, cell(before, last)
            deep = last if i == self.deep else deep
        logits: Tensor = self.head(last)
        return logits, deep

    def drawing(self, arch: Arch) -> Drawing:
        """Both kinds of cells, and the architecture as a genotype."""
        return Drawing(tuple(dag_graphs(self, arch)), str(Genotype.of(arch.to_json())))


def _halving(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs)


def _cells(
    before: int, last: int, width: int, count: int, halved: bool, closing_norms: ClosingNorms, affine: bool
) -> list[Cell]:
    """The cells. ``before``, ``last``: channels of the stem's outputs; ``halved``: the second has half the side."""
    check_at_least({"--space.cells": count, "--space.width": width}, {"--space.cells": 3, "--space.width": 2})
    if closing_norms not in get_args(ClosingNorms):
        raise UserError(f"--space.closing_norms: expected none, pools or all, got {closing_norms!r}")
    cells: list[Cell] = []
    for i in range(count):
        halving = i in (count // 3, 2 * count // 3)
        width *= 2 if halving else 1
        first = factorized_reduce(before, width, affine) if halved else relu_conv_bn(before, width, affine)
        nodes = _nodes("reduce" if halving else "normal", width, closing_norms, affine)
        cells.append(Cell(first, relu_conv_bn(last, width, affine), nodes, NODES * width))
        before, last, halved = last, NODES * width, halving
    return cells


def _nodes(kind: str, width: int, closing_norms: ClosingNorms, affine: bool) -> Dag:
    joins = []
    for node in range(NODES):
        connections = [(source, op) for source in range(2 + node) for op in OPS]
        choice = Choice(node_name(kind, node), tuple(f"{source}:{op}" for source, op in connections), KEPT, KEPT)
        strides = [2 if kind == "reduce" and source < 2 else 1 for source, _ in connections]
        ops = [_op(op, width, s, closing_norms, affine) for (_, op), s in zip(connections, strides, strict=True)]
        joins.append(Join(choice, ops, [source for source, _ in connections]))
    return Dag(2, joins, Concat(range(2, 2 + NODES)))


def _op(name: str, width: int, stride: int, closing_norms: ClosingNorms, affine: bool) -> nn.Module:
    """An operation. Drop path may drop it, unless it is the bare identity."""
    norm = nn.BatchNorm2d(width, affine=affine)
    if name == "skip_connect" and stride == 1:
        return nn.Sequential(norm, DropPath()) if closing_norms == "all" else nn.Identity()
    if name == "skip_connect":
        return nn.Sequential(*factorized_reduce(width, width, affine), DropPath())
    kind, _, size = name.rpartition("_")
    kernel = int(size[0])
    if kind in ("max_pool", "avg_pool"):
        max_pool, avg_pool = nn.MaxPool2d(3, stride, 1), nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        pool = [max_pool if kind == "max_pool" else avg_pool, *([norm] if closing_norms != "none" else [])]
        return nn.Sequential(*pool, DropPath())
    conv = separable_conv if kind == "sep_conv" else dilated_conv
    return nn.Sequential(*conv(width, kernel, stride, affine), DropPath())
