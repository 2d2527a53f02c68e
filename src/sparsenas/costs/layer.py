"""One executed operation, and what it costs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One executed operation of a network, with real shapes; their batch dimension is 1.

    Convolutions, ``linear``, ``matmul``, ``bilinear`` and the poolings compute. Any other ``op`` is the name of a
    module that only holds parameters, such as batch norm; it is listed so that every parameter belongs to a layer.
    ``op`` is conv2d for a convolution over any number of dimensions. ``inputs``, ``output`` and ``weight`` are shapes,
    ``params`` is the number of parameters.
    """

    op: str
    inputs: Shape
    output: Shape
    weight: Shape = ()
    settings: tuple[int, ...] = ()
    """Convolution: stride, padding, dilation (one number per dimension), groups. Pooling: kernel, stride, padding."""
    params: int = 0
    bits: tuple[int, int] | None = None
    """Weight and activation bits where the operation was searched for them; None = full precision."""
    alive: int = field(default=0, compare=False)
    """The most bytes of activations alive at once since the layer before; 0 where nobody asked."""


COMPUTE = ("conv2d", "conv_transpose2d", "linear", "matmul", "bilinear")
"""``conv2d`` is a convolution over any number of dimensions."""
POOL = ("max_pool2d", "avg_pool2d", "max_pool3d", "avg_pool3d", "mean")

Cost = Callable[..., float]
"""A function of one ``Layer``, whose sum over the layers is the cost of a network; or a function of a list named
``layers``, which is the whole trace."""


def flops(layer: Layer) -> int:
    """Multiply-adds of convolutions, linear layers and matrix products, as all three papers count them."""
    if layer.op not in COMPUTE:
        return 0
    positions = layer.inputs if layer.op == "conv_transpose2d" else layer.output
    return math.prod(positions) * math.prod(layer.weight[1:])


def params(layer: Layer) -> int:
    """Every learnable parameter."""
    return layer.params


def memory_access(layer: Layer) -> int:
    """Elements read and written: inputs + outputs + weights of every convolution, linear layer and pooling.

    Batch norm, activations and additions count as fused into the operation before them, as in deployed networks.
    This way of counting reproduces DSO-NAS's published ratios between operations (eq. 10).
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


def peak_memory(layers: Sequence[Layer]) -> int:
    """The most bytes of activations that are alive at once while one example runs, at the network's own precision.

    An activation is alive from the operation that makes it to the last that reads it. Weights do not count.
    """
    return max((layer.alive for layer in layers), default=0)


def size_in_bytes(layer: Layer) -> float:
    """Bytes of the parameters in flash: weights of searched bit widths take their bits, all others 4 bytes each.

    Buffers such as the statistics of batch norm do not count; they are folded into convolutions.
    """
    low = min(math.prod(layer.weight), layer.params) if layer.bits and layer.weight else 0
    return 4 * (layer.params - low) + low * (layer.bits or (0, 0))[0] / 8


COSTS: dict[str, Cost] = {
    "flops": flops,
    "params": params,
    "memory_access": memory_access,
    "bitops": bitops,
}
"""The costs that are always counted, by name; each is a sum over layers."""
ON_REQUEST: dict[str, Cost] = {"peak_memory": peak_memory, "bytes": size_in_bytes}
"""Costs that are counted where a budget or a flag names them."""
OFTEN_ZERO = {"bitops"}
"""Costs that are 0 in spaces without bit widths."""


def sees_trace(cost: Cost) -> bool:
    """Whether a cost looks at the whole trace: its first parameter is called ``layers``."""
    return next(iter(inspect.signature(cost).parameters), "") == "layers"


def as_number(cost: str, value: float) -> float:
    """The value of a cost for a file: a counted one is a whole number where it is whole, others are real numbers."""
    return int(value) if (cost in COSTS or cost in ON_REQUEST) and value == int(value) else float(value)


def format_cost(value: float) -> str:
    """The value of a cost in print: a whole number in full, any other to four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def total(cost: Cost, layers: Sequence[Layer]) -> float:
    """The cost of a whole network; a whole number where those of the layers are."""
    return cost(layers) if sees_trace(cost) else sum(cost(layer) for layer in layers)


def totals(costs: Mapping[str, Cost], layers: Sequence[Layer]) -> NDArray[np.float64]:
    """Every cost of a whole network, in order."""
    return np.array([float(total(cost, layers)) for cost in costs.values()])


def shown_costs(every: Sequence[Mapping[str, float]]) -> list[str]:
    """The names of the costs that people see: without those that are 0 since the space does not know them."""
    return [*dict.fromkeys(cost for costs in every for cost, n in costs.items() if n or cost not in OFTEN_ZERO)]
