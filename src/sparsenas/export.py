"""Handing over: torch.export and ONNX files that run where this library is not installed."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.errors import UserError
from sparsenas.runs import Run, write_atomic

TOLERANCE = 1e-3
"""Largest difference of a logit between PyTorch and ONNX Runtime that is taken for rounding."""


def export_network(run: Run, net: nn.Module, images: Tensor) -> dict[str, Any]:
    """Writes ``net.pt2`` and ``net.onnx``, both for any batch size, and checks both on real, normalised ``images``.

    Returns what the check found. Raises ``UserError`` when an exported file does not compute what the network computes.
    """
    net = net.cpu().eval()
    images = images.cpu().contiguous()
    example = (images[:2],)
    batch = {0: torch.export.Dim("batch", min=1)}
    with _quiet():
        program = torch.export.export(net, example, dynamic_shapes=(batch,))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        onnx = torch.onnx.export(net, example, dynamo=True, dynamic_shapes=(batch,), verbose=False)
        assert onnx is not None
        model = onnx.model_proto.SerializeToString()
    write_atomic(run / "net.pt2", lambda file: file.write(buffer.getbuffer()))
    write_atomic(run / "net.onnx", lambda file: file.write(model))
    with torch.no_grad():
        expected = net(images)
        exported = torch.export.load(io.BytesIO(buffer.getvalue())).module()(images)
    found = torch.as_tensor(onnx_logits(run, images.numpy()))
    facts = {
        "images": len(images),
        "pt2_max_difference": float((expected - exported).abs().max()),
        "onnx_max_difference": float((expected - found).abs().max()),
        "same_predictions": int((expected.argmax(1) == found.argmax(1)).sum()),
    }
    if not max(facts["pt2_max_difference"], facts["onnx_max_difference"]) <= TOLERANCE:
        raise UserError(f"{run.path}: the exported network differs from the trained one: {facts}")
    return facts


def onnx_logits(run: Run, images: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What ``net.onnx`` computes in ONNX Runtime. Raises ``UserError`` when there is no such file or it is damaged."""
    import onnxruntime

    path = run.need("net.onnx", "export")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base but Exception
        raise UserError(f"{path}: expected an ONNX network, got: {str(error).splitlines()[0]}") from error
    logits: np.ndarray[Any, np.dtype[np.float32]] = session.run(None, {session.get_inputs()[0].name: images})[0]
    return logits


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters log and warn about themselves; none of it is for the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
