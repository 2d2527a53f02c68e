"""One executed operation, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One operation of a network as it ran: real shapes, batch dimension included (1).

    Convolutions, ``linear``, ``matmul`` and the poolings compute; any other ``op`` is the name of a module that only
    holds parameters (batch norm, say), kept so that every learnable number has a place.
    """

    op: str
    inputs: Shape
    output: Shape
    weight: Shape = ()
    settings: tuple[int, ...] = ()
    """Convolution: stride, padding, dilation (two numbers each) and groups. Pooling: kernel, stride, padding."""
    params: int = 0
    bits: tuple[int, int] | None = None
    """Weight and activation bits where the operation was searched for them; None = full precision."""


COMPUTE = ("conv2d", "conv_transpose2d", "linear", "matmul")
POOL = ("max_pool2d", "avg_pool2d", "mean")

Cost = Callable[[Layer], float]


def flops(layer: Layer) -> int:
    """Multiply-adds of convolutions, linear layers and matrix products, as all three papers count them."""
    if layer.op not in COMPUTE:
        return 0
    positions = layer.inputs if layer.op == "conv_transpose2d" else layer.output
    return math.prod(positions) * math.prod(layer.weight[1:])


def params(layer: Layer) -> int:
    """Every learnable number."""
    return layer.params


def memory_access(layer: Layer) -> int:
    """Elements read and written: inputs + outputs + weights of every convolution, linear layer and pooling.

    Batch norm, activations and additions are taken as fused into the operation before them, as deployed networks
    run them; so counted, DSO-NAS's published ratios of its operations come out (eq. 10).
    """
    if layer.op not in COMPUTE + POOL:
        return 0
    return math.prod(layer.inputs) + math.prod(layer.output) + math.prod(layer.weight) * (layer.weight != ())


def bitops(layer: Layer) -> int:
    """Multiply-adds times weight bits times activation bits over the searched (quantized) operations.

    A network without any searched bit width counts 0. Divide by 2^30 for the G of the SPOS paper's tables.
    """
    weight_bits, activation_bits = layer.bits or (0, 0)
    return flops(layer) * weight_bits * activation_bits


COSTS: dict[str, Cost] = {
    "flops": flops,
    "params": params,
    "memory_access": memory_access,
    "bitops": bitops,
}
"""What can be counted of an architecture; all are sums over its layers."""


def as_number(cost: str, value: float) -> float:
    """The value of a cost as files keep it: what is counted is a whole number, what is measured is not."""
    return int(value) if cost in COSTS else float(value)


def format_cost(value: float) -> str:
    """The value of a cost in print: a whole number in full, any other to four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def total(cost: Cost, layers: Sequence[Layer]) -> float:
    """The cost of a whole network; a whole number where those of the layers are."""
    return sum(cost(layer) for layer in layers)
