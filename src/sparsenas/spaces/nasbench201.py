"""The space of NAS-Bench-201 (Dong and Yang, ICLR 2020): six edges, five operations each, all 15 625 cells trained."""

from __future__ import annotations

from functools import cache
from itertools import product

from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.derive import Derivable
from sparsenas.core.join import Join

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From node to node, in the benchmark's order."""


class Zero(nn.Module):
    """The operation ``none``."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """ReLU, convolution and batch norm."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), layer, nn.BatchNorm2d(outputs, affine=affine))


class DenseCell(nn.Module):
    """Four nodes, each the sum of the edges from all earlier ones. All cells share one architecture."""

    def __init__(self, width: int, affine: bool) -> None:
        super().__init__()
        self.edges = nn.ModuleList(Join.of(f"{end}<-{start}", _ops(width, affine)) for start, end in EDGES)

    def forward(self, x: Tensor) -> Tensor:
        nodes: dict[int, Tensor] = {0: x}
        for edge, (start, end) in zip(self.edges, EDGES, strict=True):
            y = edge(nodes[start])
            nodes[end] = nodes[end] + y if end in nodes else y
        return nodes[3]


class Halving(nn.Module):
    """The residual block between two stages."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(inputs, outputs, 3, 2), _conv(outputs, outputs, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


class NasBench201(nn.Sequential, Derivable):
    """The benchmark's network, with the equivalence of its cells."""

    def canonical(self, arch: Arch) -> Arch:
        """One cell for all that the benchmark takes for isomorphic: 6466 of the 15 625; the one with fewest weights."""
        code = "".join(str(pick) for pick in arch.every_pick())
        same = zip(arch, _representatives()[structure(code)], strict=True)
        return arch.replace({edge: (int(digit),) for edge, digit in same})

    def derived(self) -> nn.Module:
        """An ordinary sequence."""
        return nn.Sequential(*self)


def structure(code: str) -> str:
    """What a cell computes, as text: equal for cells that the benchmark takes for isomorphic.

    ``code`` has a digit per edge. A skip connection is the node before it; ``none``, and all that comes after a node
    which reads nothing else by a single edge, is ``#``; the order of the terms of a sum does not count. As in the
    benchmark ``#`` remains a term of a sum, so that a few cells of equal function differ in it.
    """
    nodes = ["0"]
    for end in (1, 2, 3):
        ops = [(op, nodes[start]) for op, (start, to) in zip(code, EDGES, strict=True) if to == end]
        terms = ["#" if op == "0" or x == "#" else x if op == "1" else f"({x})@{op}" for op, x in ops]
        nodes.append("+".join(sorted(terms)))
    return nodes[3]


@cache
def _representatives() -> dict[str, str]:
    """Of every structure the cell of fewest weights, the first one among equals."""
    codes = sorted(map("".join, product("01234", repeat=len(EDGES))))
    codes.sort(key=lambda code: 9 * code.count("3") + code.count("2"))
    return {structure(code): code for code in reversed(codes)}


def nasbench201(
    width: int = 16,
    cells: int = 5,
    affine: bool = False,
    shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
) -> nn.Sequential:
    """Builds the benchmark's network, with one cell for all places.

    The compact text of an architecture has a digit per edge, in the benchmark's order: 0 none, 1 skip connection, 2
    convolution 1x1, 3 convolution 3x3, 4 average pooling.

    Args:
        width: channels of the first stage; the second and third have twice and four times as many.
        cells: number of cells of each of the three stages.
        affine: batch norms in cells have a learned scale and shift; in retrained networks they always have.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
    for stage in range(3):
        layers += [Halving(width << stage - 1, width << stage)] if stage else []
        layers += [DenseCell(width << stage, affine) for _ in range(cells)]
    last = [nn.BatchNorm2d(4 * width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes)]
    return NasBench201(*layers, *last)


def _ops(width: int, affine: bool) -> dict[str, nn.Module]:
    convs = {f"nor_conv_{k}x{k}": _conv(width, width, k, affine=affine) for k in (1, 3)}
    pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return {"none": Zero(), "skip_connect": nn.Identity(), **convs, "avg_pool_3x3": pool}
