"""The trained network as torch.export and ONNX files, which run without this library."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sparsenas.errors import UserError, first_line
from sparsenas.nn.metrics import Classification
from sparsenas.nn.quantize import Quantized
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.folder import Run
from sparsenas.rundir.networks import ONNX, PT2
from sparsenas.rundir.results import ExportCheck

TOLERANCE = 1e-3
"""Largest difference of a logit between PyTorch and an exported file that counts as rounding."""
SAME = 0.95
"""Share of predictions that must be equal for a quantized network, where rounding may shift a value by a level."""


def export_network(run: Run, net: nn.Module, images: Tensor) -> ExportCheck:
    """Writes ``net.pt2`` and ``net.onnx`` for any batch size, and compares both with ``net`` on normalised ``images``.

    Returns the comparison. Raises ``UserError`` when an exported file differs by more than rounding.
    """
    net = net.cpu().eval()
    images = images.cpu().contiguous()
    example = (images[:2],)
    batch = {0: torch.export.Dim("batch", min=1)}
    with _quiet():
        program = torch.export.export(net, example, dynamic_shapes=(batch,))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    model = onnx_model(net, images[:2], batch)
    write_atomic(run / PT2, lambda file: file.write(buffer.getbuffer()))
    write_atomic(run / ONNX, lambda file: file.write(model))
    with torch.no_grad():
        expected = net(images)
        exported = torch.export.load(io.BytesIO(buffer.getvalue())).module()(images)
    found = onnx_network(run)(images)
    check = ExportCheck(
        images=len(images),
        pt2_max_difference=float((expected - exported).abs().max()),
        onnx_max_difference=float((expected - found).abs().max()),
        same_predictions=Classification().same(expected, found),
    )
    largest = max(check.pt2_max_difference, check.onnx_max_difference)
    rounds = any(isinstance(module, Quantized) for module in net.modules())
    if not (check.same_predictions >= SAME * len(images) if rounds else largest <= TOLERANCE):
        raise UserError(f"{run.path}: the exported network differs from the trained one: {check}")
    return check


def onnx_model(net: nn.Module, example: Tensor, axes: Mapping[int, Any] | None = None) -> bytes:
    """The ONNX model of a network for inputs of the shape of ``example``, except for ``axes``, which may vary."""
    with _quiet():
        shapes = None if axes is None else (axes,)
        program = torch.onnx.export(net, (example,), dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def onnx_network(run: Run) -> Callable[[Tensor], Tensor]:
    """``net.onnx`` as a function in ONNX Runtime: images to logits, on the device of the images.

    Raises ``UserError``, now or when called, when there is no such file, it is damaged, or it keeps its weights in
    other files: those could be anywhere on this machine.
    """
    path = run.need(ONNX, "export")
    with _refusing(path):
        session = _session(path.read_bytes())
        name = session.get_inputs()[0].name

    def forward(images: Tensor) -> Tensor:
        with _refusing(path):
            logits = session.run(None, {name: images.cpu().contiguous().numpy()})[0]
            if logits.ndim < 2 or len(logits) != len(images):
                raise ValueError(f"an output of {logits.shape}")
        return torch.as_tensor(logits).to(images.device)

    return forward


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
    except ImportError as error:
        raise UserError(f"{path}: needs more packages: pip install 'sparsenas[onnx]'") from error
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the logs and warnings of the exporters, which are not about the user's network."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
