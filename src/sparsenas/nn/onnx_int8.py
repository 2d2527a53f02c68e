"""ONNX Runtime's static quantization: 8-bit weights and activations, ranges from calibration inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sparsenas.errors import UserError, first_line
from sparsenas.nn.quiet import quiet

Feeds = Mapping[str, Any]
"""Arrays by the names of a model's inputs."""


def int8_model(content: bytes, batches: Iterable[Feeds]) -> bytes:
    """The model with 8-bit integers between QuantizeLinear and DequantizeLinear, weights with a scale per channel.

    ``batches`` are the calibration inputs: the smallest and the largest value that they bring give the range of each
    activation. Operations that ONNX Runtime does not quantize stay as they are. Raises ``UserError`` for a model that
    it cannot quantize.
    """
    try:
        with quiet():
            return _quantized(content, iter(batches))
    except Exception as error:  # ONNX Runtime raises classes that share no base but this one
        raise UserError(f"ONNX Runtime cannot quantize the network: {first_line(error)}") from error


def has_integers(content: bytes) -> bool:
    """Whether anything in a model is quantized."""
    import onnx

    return any(node.op_type == "DequantizeLinear" for node in onnx.ModelProto.FromString(content).graph.node)


def input_names(content: bytes) -> list[str]:
    """The names of a model's inputs, in order."""
    import onnx

    return [given.name for given in onnx.ModelProto.FromString(content).graph.input]


def _quantized(content: bytes, batches: Iterator[Feeds]) -> bytes:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Feeds | None:
            """The next batch."""
            return next(batches, None)

    with tempfile.TemporaryDirectory() as folder:
        given, prepared, made = (Path(folder, name) for name in ("given.onnx", "prepared.onnx", "made.onnx"))
        given.write_bytes(content)
        # Symbolic shapes need another package and are of no use here; the rest fuses what runs as one layer.
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(made),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
        return made.read_bytes()
