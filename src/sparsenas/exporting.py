"""The trained network as torch.export and ONNX files, which run without this library."""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sparsenas.errors import UserError, check_extra, first_line, told
from sparsenas.nn.onnx_integers import OPSET, with_integer_weights
from sparsenas.nn.quantize import Quantized
from sparsenas.nn.quiet import quiet
from sparsenas.nn.tree import Tree, arguments, call, count, device_of, map_tensors, tensors
from sparsenas.objectives import Objective
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.folder import Run
from sparsenas.rundir.networks import INT8, ONNX, PT2
from sparsenas.rundir.results import ExportCheck, Usage

TOLERANCE = 1e-3
"""Largest difference of an output between PyTorch and an exported file that counts as rounding."""
TRACE = "stack_trace"
"""The fact of an operation that has the lines of code behind it."""
SAME = 0.95
"""Share of predictions that must be equal for a quantized network, where rounding may shift a value by a level."""


def export_network(
    run: Run, net: nn.Module, inputs: Tree, objective: Objective, facts: Mapping[str, Any] | None = None
) -> ExportCheck:
    """Writes ``net.pt2`` and ``net.onnx`` for any batch size, and compares both with ``net`` on prepared ``inputs``.

    ``facts`` become metadata of ``net.onnx``, each as JSON; those that are ``None`` are left out.

    Returns the comparison. Raises ``UserError`` when the network cannot be exported; and when an exported file differs
    by more than rounding: none is left then.
    """
    net = net.cpu().eval()
    inputs = map_tensors(lambda leaf: leaf.cpu().contiguous(), inputs)
    few = map_tensors(lambda leaf: torch.cat([leaf, leaf])[:2], inputs)  # a batch of one would be a constant
    args, kwargs = arguments(net, few)
    buffer = io.BytesIO()
    with _exporting(f"{run.path}: the network cannot be exported"), quiet():
        program = torch.export.export(net, args, kwargs, dynamic_shapes=_any_batch(net, few))
        _forget_source(program.graph_module)
        torch.export.save(program, buffer)
    (run / ONNX).unlink(missing_ok=True)  # it may be of other weights, and the new one may fail
    write_atomic(run / PT2, lambda file: file.write(buffer.getbuffer()))
    with _exporting(f"{run.path}: {PT2} is written, {ONNX} cannot be"), quiet():
        floats = onnx_model(net, few, any_batch=True)
        model = with_integer_weights(floats, net) if _has_bits(net) else floats
        model = _with_facts(model, facts or {})
    write_atomic(run / ONNX, lambda file: file.write(model))
    try:
        check = _compared(run, net, inputs, objective, buffer)
    except UserError:
        for name in (PT2, ONNX):
            (run / name).unlink(missing_ok=True)
        raise
    return replace(check, onnx_bytes=len(model), onnx_bytes_as_floats=len(floats), usage=_usage(model, net, inputs))


def _output_names(net: nn.Module, example: Tree) -> list[str] | None:
    """The names of outputs in a dictionary of tensors; ``None`` where they have none of their own."""
    with torch.no_grad():
        output = call(net, example)
    args, kwargs = arguments(net, example)
    taken = {*inspect.signature(net.forward).bind(*args, **kwargs).arguments, *_names(args), *kwargs}
    named = isinstance(output, dict) and all(isinstance(value, Tensor) for value in output.values())
    return [str(name) for name in output] if named and not taken & set(output) else None


def _names(args: Sequence[Any]) -> set[str]:
    """The names of inputs in dictionaries."""
    return {str(name) for arg in args if isinstance(arg, dict) for name in arg}


def _usage(model: bytes, net: nn.Module, inputs: Tree) -> Usage:
    """How the files are called, with an input of zeros."""
    one = map_tensors(lambda leaf: leaf[:1], inputs)
    args, kwargs = arguments(net, one)
    session = _session(model)
    feeds = onnx_feeds([given.name for given in session.get_inputs()], one)
    with torch.no_grad():
        output = call(net, one)
    return Usage(
        call=", ".join([*map(_code, args), *(f"{name}={_code(arg)}" for name, arg in kwargs.items())]),
        feeds="{" + ", ".join(f"{name!r}: {_array_code(array)}" for name, array in feeds.items()) + "}",
        outputs=[given.name for given in session.get_outputs()],
        tensor=isinstance(output, Tensor),
    )


def _code(tree: Tree) -> str:
    """Python code, with torch, for a tree of zeros of the same form."""
    if isinstance(tree, Tensor):
        dtype = "" if tree.dtype == torch.float32 else f", dtype={tree.dtype}"
        return f"torch.zeros({', '.join(map(str, tree.shape))}{dtype})"
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{name!r}: {_code(value)}" for name, value in tree.items()) + "}"
    if isinstance(tree, list | tuple):
        parts = ", ".join(map(_code, tree))
        return f"[{parts}]" if isinstance(tree, list) else f"({parts},)"
    return repr(tree)


def _array_code(array: Any) -> str:
    """Python code, with numpy, for zeros of the same shape."""
    return f"numpy.zeros({array.shape}, numpy.{'bool_' if array.dtype == bool else array.dtype})"


def _with_facts(model: bytes, facts: Mapping[str, Any]) -> bytes:
    """An ONNX model with facts in its metadata."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    onnx.helper.set_model_props(proto, {name: json.dumps(fact) for name, fact in facts.items() if fact is not None})
    return bytes(proto.SerializeToString())


def _compared(run: Run, net: nn.Module, inputs: Tree, objective: Objective, buffer: io.BytesIO) -> ExportCheck:
    with torch.no_grad():
        expected = call(net, inputs)
        args, kwargs = arguments(net, inputs)
        exported = torch.export.load(io.BytesIO(buffer.getvalue())).module()(*args, **kwargs)
    found = onnx_network(run)(inputs)
    check = ExportCheck(
        examples=count(inputs),
        pt2_max_difference=_difference(expected, exported),
        onnx_max_difference=_difference(expected, found),
        same_predictions=objective.same(expected, found),
    )
    largest = max(check.pt2_max_difference, check.onnx_max_difference)
    if not (check.same_predictions >= SAME * check.examples if _has_bits(net) else largest <= TOLERANCE):
        raise UserError(f"{run.path}: the exported network differs from the trained one: by {largest:.1e} in an output")
    return check


def _forget_source(module: nn.Module) -> None:
    """Drops the lines of code behind each operation, with their paths on this machine: the file may be published."""
    for part in module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop(TRACE, None)


def _has_bits(net: nn.Module) -> bool:
    """Whether a network has layers of searched bit widths."""
    return any(isinstance(module, Quantized) for module in net.modules())


@contextmanager
def _exporting(failed: str) -> Iterator[None]:
    """Makes any error of an exporter a ``UserError``: what a network may do in Python has no end.

    It tells the first error, since those of exporters that follow from it tell of their own steps.
    """
    try:
        yield
    except Exception as error:
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        raise UserError(f"{failed}: {told(first)}") from error


def _any_batch(net: nn.Module, example: Tree) -> dict[str, Any]:
    """The dimensions that may vary, by argument of the network: the first one of every tensor."""
    args, kwargs = arguments(net, example)
    batch = {0: torch.export.Dim("batch", min=1)}
    given = inspect.signature(net.forward).bind(*args, **kwargs).arguments
    return {name: map_tensors(lambda leaf: batch, value) for name, value in given.items()}


def onnx_model(net: nn.Module, example: Tree, any_batch: bool = False) -> bytes:
    """The ONNX model of a network for inputs like ``example``; the number of examples may vary with ``any_batch``."""
    args, kwargs = arguments(net, example)
    # Taken apart, attention has other strides than from a fused kernel: views that were traced with those would fail.
    with quiet(), sdpa_kernel(SDPBackend.MATH):
        varying = _any_batch(net, example) if any_batch else None
        opset = OPSET if _has_bits(net) else None
        # The exporter takes a dictionary at the end of the arguments for arguments by name, so one of those ends them.
        program = torch.onnx.export(
            net,
            args if kwargs else (*args, {}),
            kwargs=kwargs,
            dynamo=True,
            dynamic_shapes=varying,
            output_names=_output_names(net, example),
            verbose=False,
            opset_version=opset,
        )
    assert program is not None
    model = program.model_proto
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            kept = [fact for fact in node.metadata_props if not fact.key.endswith(TRACE)]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)
    return bytes(model.SerializeToString())


def onnx_network(run: Run, name: str = ONNX) -> Callable[[Tree], Tree]:
    """``net.onnx``, or the ONNX file ``name``, as a function in ONNX Runtime: inputs to outputs, on the inputs' device.

    An output of several tensors is a tuple.

    Raises ``UserError``, now or when called, when there is no such file, it is damaged, or it keeps its weights in
    other files: those could be anywhere on this machine.
    """
    path = run.need(name, "export --int8" if name == INT8 else "export")
    check_extra("onnx", str(path), "onnx", "onnxruntime")
    with _refusing(path):
        session = _session(path.read_bytes())
        names = [given.name for given in session.get_inputs()]

    def forward(inputs: Tree) -> Tree:
        with _refusing(path):
            outputs = session.run(None, onnx_feeds(names, inputs))
            if wrong := [output.shape for output in outputs if len(output) != count(inputs)]:
                raise ValueError(f"an output of {wrong[0]}")
        found = tuple(torch.as_tensor(output).to(device_of(inputs)) for output in outputs)
        return found[0] if len(found) == 1 else found

    return forward


def onnx_feeds(names: Sequence[str], inputs: Tree) -> dict[str, Any]:
    """The inputs by their names in the model: those of a dictionary by name, others in order."""
    named = isinstance(inputs, dict) and set(inputs) == set(names)
    ordered = [inputs[name] for name in names] if named else tensors(inputs)
    return {name: leaf.cpu().contiguous().numpy() for name, leaf in zip(names, ordered, strict=True)}


def _difference(output: Tree, other: Tree) -> float:
    """The largest absolute difference of two outputs."""
    return max(float((a - b).abs().max()) for a, b in zip(tensors(output), tensors(other), strict=True))


def _session(content: bytes) -> Any:
    import onnx
    import onnxruntime

    tensors = _tensors(onnx.ModelProto.FromString(content))
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise ValueError("one that refers to other files")
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Makes any error a ``UserError``: ONNX Runtime raises classes of its own that share no base but ``Exception``."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{path}: expected an ONNX network, got: {first_line(error)}") from error


def _tensors(message: Any) -> Iterator[Any]:
    """All tensors of an ONNX model, in attributes and inner graphs too."""
    import onnx

    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for part in value if isinstance(value, Sequence) else [value]:
                yield from _tensors(part)
