"""The weights of layers of searched bit widths as the integers that they are, in an ONNX model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.nn.quantize import Quantized

OPSET = 21
"""The first one in which DequantizeLinear takes 4 and 16 bits."""
MATCH = 1e-5
"""Largest relative difference of a weight that is counted as rounding."""


class _Integers(NamedTuple):
    values: NDArray[np.int32]
    scales: NDArray[np.float32]
    """One per output channel"""


def with_integer_weights(content: bytes, net: nn.Module) -> bytes:
    """The model of a frozen ``net`` with its quantized weights as integers, each with a DequantizeLinear after it.

    A layer's b-bit levels are symmetric about 0, so they are odd integers from 1 - 2^b to 2^b - 1: kept in 4 bits for
    b up to 3, in 8 for b up to 7, else in 16. A weight that the exporter has changed by more than a factor per channel,
    such as a folded batch norm, is left as it is.
    """
    import onnx

    model = onnx.ModelProto.FromString(content)
    layers = {f"{name}.weight": module for name, module in net.named_modules() if isinstance(module, Quantized)}
    nodes = []
    for tensor in [*model.graph.initializer]:
        if tensor.name not in layers:
            continue
        found = _integers(layers[tensor.name], onnx.numpy_helper.to_array(tensor))
        if found is not None:
            nodes.append(_dequantized(model.graph, tensor, found))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return bytes(model.SerializeToString())


def _integers(layer: Quantized, weight: NDArray[np.float32]) -> _Integers | None:
    """The integers of a layer's weight and the factors of the channels; ``None`` if they do not give ``weight``."""
    levels = 2 ** layer.bits[0] - 1
    own = layer.weight.detach().numpy().astype(np.float64)
    size = abs(own).max() or 1.0
    # With one bit the levels are the mean of |w| and its negative, else shares of 1.
    values = np.round(own / size) if levels == 1 else np.round(own * levels)
    if values.shape != weight.shape or levels > np.iinfo(np.int16).max or abs(values).max() > levels:
        return None
    axes = tuple(range(1, values.ndim))
    squares = (values**2).sum(axes)
    scales = ((weight * values).sum(axes) / np.where(squares, squares, 1)).astype(np.float32)
    shown = values * scales.reshape(-1, *[1] * len(axes))
    if not np.allclose(shown, weight, rtol=0, atol=MATCH * abs(weight).max()):
        return None
    return _Integers(values.astype(np.int32), scales)


def _dequantized(graph: Any, tensor: Any, found: _Integers) -> Any:
    """Replaces a tensor by its integers; returns the node that makes numbers of them again."""
    from onnx import TensorProto, helper, numpy_helper

    name, most = tensor.name, abs(found.values).max()
    kind = TensorProto.INT4 if most <= 7 else TensorProto.INT8 if most <= 127 else TensorProto.INT16
    integers, scales = f"{name}_integers", f"{name}_scales"
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(found.values.astype(dtype), integers))
    graph.initializer.append(numpy_helper.from_array(found.scales, scales))
    return helper.make_node("DequantizeLinear", [integers, scales], [name], axis=0)
