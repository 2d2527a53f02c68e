"""Layers as ONNX models, written directly, since exporting each one would take hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sparsenas.costs.latency import text
from sparsenas.costs.layer import Layer, Shape
from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree
from sparsenas.timing.torch_layers import convolution_settings, inputs_of, mean_axes, output_padding, pool_settings

Array = NDArray[np.float32]

OPSET = 17
IR_VERSION = 8
CONVOLUTIONS = ("conv2d", "conv_transpose2d")


class Model(NamedTuple):
    """An ONNX model and inputs for it, a tree of tensors."""

    content: bytes
    inputs: Tree


def model_of(layer: Layer, batch: int, copies: int = 1) -> Model:
    """A model that runs copies of ``layer`` on the same random input and adds their outputs, each sum through a ReLU.

    ONNX Runtime fuses bias, addition and ReLU into the convolution, as in residual networks. It converts input and
    output to its own layout once, for any number of copies. Each copy has weights of its own.
    Raises ``UserError`` for a layer that cannot be rebuilt.
    """
    rng = np.random.default_rng(0)
    feeds = {name: _random(rng, shape) for name, shape in zip("xy", inputs_of(layer, batch), strict=False)}
    op, settings = _operation(layer)
    nodes: list[OnnxNode] = []
    weights: dict[str, Array] = {}
    for i in range(copies):
        own = {f"{name}{i}": value for name, value in _weights(layer, rng).items()}
        weights |= own
        nodes.append(OnnxNode(op, [*feeds, *own], f"out{i}", settings))
        if i:
            nodes.append(OnnxNode("Add", [f"out{i}", nodes[-2].writes], f"sum{i}", {}))
            nodes.append(OnnxNode("Relu", [f"sum{i}"], f"rectified{i}", {}))
    return Model(_graph(nodes, feeds, weights), {name: torch.from_numpy(x) for name, x in feeds.items()})


def empty_model() -> Model:
    """A model without layers, to measure the overhead of a run."""
    feeds: dict[str, Array] = {"x": np.zeros((1, 1), np.float32)}
    return Model(_graph([OnnxNode("Identity", ["x"], "y", {})], feeds, {}), torch.zeros(1, 1))


class OnnxNode(NamedTuple):
    """An operation of a graph."""

    op: str
    reads: list[str]
    writes: str
    settings: dict[str, Any]


def _graph(nodes: Sequence[OnnxNode], feeds: Mapping[str, Array], weights: Mapping[str, Array]) -> bytes:
    """The nodes as a model; its output is that of the last node."""
    from onnx import TensorProto, helper, numpy_helper

    made = [helper.make_node(node.op, node.reads, [node.writes], **node.settings) for node in nodes]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name, x in feeds.items()]
    output = helper.make_tensor_value_info(nodes[-1].writes, TensorProto.FLOAT, None)
    kept = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(made, "layer", inputs, [output], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


def _random(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _weights(layer: Layer, rng: np.random.Generator) -> dict[str, Array]:
    if layer.op in CONVOLUTIONS:
        return {"w": _random(rng, layer.weight), "b": _random(rng, layer.output[1:2])}
    if layer.op == "linear" and len(layer.inputs) == 2:
        return {"w": _random(rng, layer.weight), "b": _random(rng, layer.weight[:1])}
    return {"w": _random(rng, layer.weight[::-1])} if layer.op == "linear" else {}


def _operation(layer: Layer) -> tuple[str, dict[str, Any]]:
    """ONNX's operation and its attributes."""
    if layer.op in CONVOLUTIONS:
        stride, padding, dilation, group = convolution_settings(layer)
        common: dict[str, Any] = {"strides": stride, "pads": padding * 2, "dilations": dilation, "group": group}
        if layer.op == "conv2d":
            return "Conv", common
        return "ConvTranspose", {**common, "output_padding": output_padding(layer)}
    if layer.op == "linear":
        return ("Gemm", {"transB": 1}) if len(layer.inputs) == 2 else ("MatMul", {})
    if layer.op == "matmul":
        return "MatMul", {}
    return _pooling(layer)


def _pooling(layer: Layer) -> tuple[str, dict[str, Any]]:
    if layer.op == "mean" and len(layer.inputs) == len(layer.output) == 4:
        (height, width), (rows, columns) = layer.inputs[2:], layer.output[2:]
        if height % rows or width % columns:
            raise UserError(f"--engine onnxruntime: expected poolings that divide the image evenly, got {text(layer)}")
        kernel = height // rows, width // columns
        whole = rows == columns == 1
        return ("GlobalAveragePool", {}) if whole else ("AveragePool", {"kernel_shape": kernel, "strides": kernel})
    if layer.op == "mean":
        axes, keep = mean_axes(layer)
        return "ReduceMean", {"axes": axes, "keepdims": int(keep)}
    pool = pool_settings(layer)
    settings = {
        "kernel_shape": pool.kernel,
        "strides": pool.stride,
        "pads": pool.padding * 2,
        "ceil_mode": int(pool.ceil),
    }
    return ("MaxPool", settings) if layer.op == "max_pool2d" else ("AveragePool", {**settings, "count_include_pad": 1})
