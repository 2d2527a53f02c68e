"""A training step of a DSO-NAS block on CIFAR shapes: against a loop of scaled additions, and as edges die."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.dag import Dag
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.nn.depthwise_grad import DEPTHWISE
from sparsenas.nn.function_overrides import FunctionOverrides
from sparsenas.nn.malloc import keep_heap
from sparsenas.reporting.colours import FOUND, OTHER
from sparsenas.spaces.dso import LEVELS, OPERATIONS, dso

BATCH, WIDTH, PIXELS, ROUNDS = 32, 48, 32, 5
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1)
"""Of the edges, that survive."""
PICTURE = Path(__file__).parent / "dso_edges.svg"
ACROSS, DOWN, EDGE = 560, 300, 50
"""Size of the picture, and what its axes need of it."""


class Loop(nn.Module):
    """The complete block as a plain loop: every edge a multiplication and an addition."""

    def __init__(self, block: Dag) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        values = [x]
        names = [f"level{level + 1}.{op}" for level in range(LEVELS) for op in OPERATIONS]
        for i, name in enumerate(names):
            inputs = values[: 1 + i // len(OPERATIONS) * len(OPERATIONS)]
            total = sum(x * w for x, w in zip(inputs, weights[name], strict=True)) if name in weights else x
            values.append(self.block.ops[i](total))
        output = self.block.joins[-1]
        joined = sum(op(h) * w for op, h, w in zip(output.ops, values[1:], weights["output"], strict=True))
        y: Tensor = x + self.block.ops[-1](joined)
        return y


def step(block: nn.Module, x: Tensor, *weights: dict[str, Tensor]) -> float:
    """Seconds of a forward and a backward pass."""
    start = time.perf_counter()
    block(x, *weights).mean().backward()
    return time.perf_counter() - start


def picture(seconds: Mapping[float, float]) -> str:
    """Seconds per step against the share of the edges that survive, as SVG; dotted: in proportion to the edges."""
    top = max(seconds.values()) * 1.1
    size = {"width": str(ACROSS), "height": str(DOWN), "viewBox": f"0 0 {ACROSS} {DOWN}"}
    style = {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": "13"}
    svg = ElementTree.Element("svg", {**style, **size})

    def at(share: float, value: float) -> tuple[float, float]:
        return EDGE + share * (ACROSS - 2 * EDGE), DOWN - EDGE - value / top * (DOWN - 1.5 * EDGE)

    def line(points: list[tuple[float, float]], colour: str, dashes: str = "none") -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        style = {"fill": "none", "stroke": colour, "stroke-width": "2", "stroke-dasharray": dashes}
        ElementTree.SubElement(svg, "polyline", {"points": path, **style})

    def text(x: float, y: float, words: str, anchor: str = "middle") -> None:
        at = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
        ElementTree.SubElement(svg, "text", at).text = words

    ElementTree.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    line([at(0, top), at(0, 0), at(1, 0)], OTHER)
    line([at(0, 0), at(1, seconds[max(seconds)] / max(seconds))], OTHER, "2 5")
    line([at(share, value) for share, value in sorted(seconds.items())], FOUND)
    for share, value in seconds.items():
        (x, y), (foot, ground) = at(share, value), at(share, 0)
        ElementTree.SubElement(svg, "circle", {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "4", "fill": FOUND})
        text(x, y - 10, f"{value:.2f}")
        text(foot, ground + 18, f"{share:.0%}")
    text(ACROSS / 2, DOWN - 8, "of the edges survive")
    text(12, 18, "seconds per step", "start")
    return ElementTree.tostring(svg, encoding="unicode")


def main() -> None:
    """Prints and draws step times; with the argument loop or ours those of one alone, and its peak of memory."""
    keep_heap()
    torch.manual_seed(0)
    net = dso(width=WIDTH, depth=2, share=True).to(memory_format=torch.channels_last)
    block = net[2]
    questions = choices(block)
    x = torch.randn(BATCH, WIDTH, PIXELS, PIXELS).to(memory_format=torch.channels_last).requires_grad_()
    weights = {name: torch.rand(len(c.options), requires_grad=True) for name, c in questions.items()}
    loop = Loop(block)
    only = sys.argv[1:]

    def ours(share: float = 1.0) -> float:
        rng = np.random.default_rng(0)
        picks = {n: np.flatnonzero(rng.random(len(c.options)) < share) for n, c in questions.items()}
        set_gates(block, {n: Gate(tuple(p.tolist()), weights[n][p]) for n, p in picks.items()})
        with FunctionOverrides(DEPTHWISE):
            return step(block, x)

    for name in only:
        times = [ours() if name == "ours" else step(loop, x, weights) for _ in range(ROUNDS)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name}: {statistics.median(times):.3f} s, peak memory of the process {peak:.0f} MiB")
    if only:
        return
    pairs = [(step(loop, x, weights), ours()) for _ in range(ROUNDS)][1:]
    slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"complete block, {BATCH}x{WIDTH}x{PIXELS}x{PIXELS}: loop {slow:.3f} s, ours {fast:.3f} s, {ratio:.2f} times")
    seconds = {share: statistics.median(ours(share) for _ in range(ROUNDS)) for share in SHARES}
    for share, median in seconds.items():
        print(f"{share:4.0%} of the edges: {median:.3f} s")
    PICTURE.write_text(picture(seconds) + "\n")


if __name__ == "__main__":
    main()
