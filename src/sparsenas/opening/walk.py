"""Walks through the graph of a network: which operation carries channel numbers in which way."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves, tree_map

from sparsenas.opening import layers, shaping
from sparsenas.opening.capture import Captured, shape
from sparsenas.opening.companion import fixed
from sparsenas.opening.computed import between, computed_weights
from sparsenas.opening.flow import Flow, name_of

Rule = Callable[[Flow, fx.Node], Any]

RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), layers.convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), layers.transposed),
    "linear": layers.linear,
    "addmm": layers.added_product,
    **dict.fromkeys(("matmul", "mm", "bmm"), layers.matmul),
    "scaled_dot_product_attention": layers.attention,
    **dict.fromkeys(("batch_norm", "instance_norm", "prelu"), layers.channel_norm),
    "group_norm": layers.group_norm,
    **dict.fromkeys(("layer_norm", "rms_norm"), layers.layer_norm),
    "embedding": layers.embedding,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), layers.recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), layers.cell),
    "_assert_tensor_metadata": layers.asserted,
    **dict.fromkeys(("cat", "concat"), shaping.concatenated),
    **dict.fromkeys(("new_zeros", "new_ones", "new_full", "new_empty"), shaping.made),
    "stack": shaping.stacked,
    **dict.fromkeys(("split", "chunk", "split_with_sizes", "unbind", "unsafe_chunk", "unsafe_split"), shaping.parted),
    "index": shaping.taken,
    "glu": shaping.gated,
    **dict.fromkeys(("index_add", "index_copy", "scatter_add", "scatter_reduce"), shaping.scattered),
    "pad": shaping.spatial,
    "constant_pad_nd": shaping.spatial,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std", "linalg_vector_norm"), shaping.reduced),
    **dict.fromkeys(("var_mean", "logsumexp", "any", "all"), shaping.reduced),
    **dict.fromkeys(
        (
            *("view", "reshape", "_unsafe_view", "permute", "transpose", "t", "flatten", "unflatten", "squeeze"),
            *("unsqueeze", "expand", "slice", "select", "repeat", "flip", "roll", "movedim", "narrow", "index_select"),
            *("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "view_as", "expand_as", "swapaxes", "numpy_T"),
            *("repeat_interleave", "moveaxis", "swapdims", "mT", "reshape_as"),
        ),
        shaping.moved,
    ),
    **dict.fromkeys(
        (
            *("dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "detach", "alias", "to", "type_as"),
            *("_to_copy", "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "float"),
            *("lift_fresh_copy", "relu6", "hardswish", "hardsigmoid", "silu", "gelu", "mish", "selu", "celu", "elu"),
            *("softplus", "softsign", "tanhshrink", "softmax", "_softmax", "log_softmax", "cumsum", "rrelu"),
            *("logsigmoid", "log_sigmoid", "hardtanh", "leaky_relu"),
        ),
        shaping.same,
    ),
}
"""By the name of the operation; one that works in place has the rule of the one that does not."""


def walk(captured: Captured) -> Flow:
    """Carries channel numbers through the whole graph; what reaches the output is closed."""
    flow = Flow(captured, computed_weights(captured))
    inside = between(flow.sources)
    for node in captured.graph.nodes:
        if node in inside:
            flow.env[node] = layers.unknown(flow, node)  # numbered where the weight is used
        elif node.op == "placeholder":
            flow.env[node] = _placeholder(flow, node)
        elif node.op == "call_function":
            flow.env[node] = _called(flow, node)
            _follow(flow, node)
        elif node.op == "output":
            for leaf in tree_leaves(node.args):
                if isinstance(leaf, fx.Node) and isinstance(flow.env[leaf], Tensor):
                    flow.numbers.close(flow.env[leaf], "the output of the network")
    return flow


def _placeholder(flow: Flow, node: fx.Node) -> Any:
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return value
    name = flow.named(node)
    tensor = None if name is None else flow.captured.tensors.get(name)
    if tensor is not None and not tensor.is_floating_point():
        flow.concrete[node] = tensor
    return _raw(flow, node, name) if name is not None else fixed(tuple(value.shape))


def _raw(flow: Flow, node: fx.Node, name: str) -> Tensor:
    """Parameters that layers use get their numbers there; others are companions of their own."""
    outside = [user for user in node.users if not _is_layer_argument(flow, node, user)]
    return flow.raw(node, name) if outside else fixed(shape(node))


def _is_layer_argument(flow: Flow, node: fx.Node, user: fx.Node) -> bool:
    rule = _rule(user)
    if rule in (layers.matmul, layers.linear, layers.convolution, layers.transposed, layers.embedding):
        return node in user.args[1:] or rule is layers.embedding and node is user.args[0]
    if rule is layers.recurrent or rule is layers.cell:
        return any(node is weight for weight in tree_leaves(user.args[2:]))
    if rule is layers.added_product:
        return node is user.args[0] or node is user.args[2]
    return rule in (layers.channel_norm, layers.group_norm, layers.layer_norm) and node is not user.args[0]


def _called(flow: Flow, node: fx.Node) -> Any:
    if node.target is operator.getitem:
        source, index = node.args
        assert isinstance(source, fx.Node)
        return flow.env[source][index]
    rule = _rule(node)
    if rule is None:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and not flow.tensors(node):
            return fixed(tuple(value.shape))
        return layers.unknown(flow, node)
    try:
        return rule(flow, node)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, AssertionError):
        # A rule met an argument of a form that it does not know.
        return layers.unknown(flow, node)


def _rule(node: fx.Node) -> Rule | None:
    name = name_of(node)
    found = RULES.get(name) or RULES.get(name.rstrip("_"))
    if found is None and ("upsample" in name or "pool" in name):
        return shaping.spatial
    tags = node.target.tags if isinstance(node.target, torch._ops.OpOverload) else ()
    return shaping.pointwise if found is None and torch.Tag.pointwise in tags else found


def _follow(flow: Flow, node: fx.Node) -> None:
    """Keeps the values of integer tensors that depend on nothing but buffers."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or value.is_floating_point() or not node.all_input_nodes:
        return
    if all(part in flow.concrete for part in node.all_input_nodes) and callable(node.target):
        args, kwargs = (
            tree_map(lambda a: flow.concrete[a] if isinstance(a, fx.Node) else a, p) for p in (node.args, node.kwargs)
        )
        flow.concrete[node] = node.target(*args, **kwargs)
