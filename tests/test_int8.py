"""8-bit networks: the file of export --int8, layers timed with 8 bits, integers of searched bit widths."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests.real_runs import RealRun
from torch import nn

from sparsenas.__main__ import main
from sparsenas.errors import UserError
from sparsenas.exporting import onnx_model
from sparsenas.nn.onnx_int8 import has_integers, int8_model
from sparsenas.nn.onnx_integers import with_integer_weights
from sparsenas.nn.quantize import FixedQuantConv2d, FixedQuantLinear, freeze_weights, quantize_weights
from sparsenas.rundir.results import Int8Result, OnnxFile
from sparsenas.timing import read_table


def test_a_run_is_exported_with_8_bits(real_run: RealRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(real_run("spos"), tmp_path / "run")
    assert main(["evaluate", str(run), "--int8"]) == 2
    assert "sparsenas export --int8" in capsys.readouterr().err
    assert main(["export", str(run), "--int8"]) == 0
    told = capsys.readouterr().err
    assert re.search(r"int8: accuracy .*%, [\d,]+ bytes, [\d.]+ ms; float32: .* bytes, .* ms; .*; int8 is", told)
    assert "WARNING" not in told
    kinds = {tensor.data_type for tensor in onnx.load(run / "net.int8.onnx").graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    found = json.loads((run / "results.json").read_text())
    int8, float32 = found["int8"]["int8"], found["int8"]["float32"]
    assert float32["metrics"]["accuracy"] == found["retrained"]["metrics"]["accuracy"]
    assert abs(int8["metrics"]["accuracy"] - float32["metrics"]["accuracy"]) < 0.1
    assert int8["bytes"] == (run / "net.int8.onnx").stat().st_size
    assert main(["evaluate", str(run), "--int8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == int8["metrics"]["accuracy"]
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "8-bit network" in page
    assert "net.int8.onnx" in page


def test_what_cannot_be_quantized_is_told() -> None:
    with pytest.raises(UserError, match="cannot quantize the network"):
        int8_model(b"no model", [])
    x = torch.randn(2, 3)
    content = onnx_model(nn.Tanh(), x)
    assert not has_integers(int8_model(content, [{"input": x.numpy()}]))


def timed(median: float, spread: float) -> OnnxFile:
    return OnnxFile(bytes=1, metrics={}, median_ms=median, spread_ms=spread)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [((4, 1), (2, 1), "2.00 times"), ((4, 3), (2, 3), "not faster"), ((2, 0), (4, 0), "not faster")],
)
def test_faster_is_said_only_beyond_the_spread(
    before: tuple[float, float], after: tuple[float, float], words: str
) -> None:
    both = {"float32": timed(*before), "int8": timed(*after)}
    assert words in Int8Result(**both, calibration=1, device="", batch=1, threads=1).verdict


def test_layers_are_timed_with_8_bits(tmp_path: Path) -> None:
    flags = ["--space=tiny", "--space.width=4", "--space.blocks=1", "--engine=onnxruntime-int8", "--threads=1"]
    short = ["--warmup=0", "--seconds=0", "--repeats=2", "--networks=1", "--out", str(tmp_path / "t.json")]
    assert main(["latency", *flags, *short]) == 0
    table = read_table(tmp_path / "t.json")
    assert table.settings.engine == "onnxruntime-int8"
    assert {layer.op for layer in table.timings} == {"conv2d", "mean", "linear"}


@pytest.mark.parametrize(("bits", "kind"), [(1, "INT4"), (3, "INT4"), (4, "INT8"), (7, "INT8"), (8, "INT16")])
def test_searched_bit_widths_are_kept_as_integers(bits: int, kind: str) -> None:
    torch.manual_seed(bits)
    conv = FixedQuantConv2d(2, 6, 3, (bits, 4), bias=False)
    net = nn.Sequential(
        conv, nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), FixedQuantLinear(6, 3, (bits, 8))
    )
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.uniform_(norm.weight, -2, 2)  # the exporter folds it: a factor of either sign for each channel
    nn.init.uniform_(norm.running_var, 0.5, 2)
    levels = quantize_weights(conv.weight, bits).unique()
    freeze_weights(net.eval())
    x = torch.rand(4, 2, 6, 6)
    content = with_integer_weights(onnx_model(net, x), net)
    kept = {one.name: one for one in onnx.ModelProto.FromString(content).graph.initializer}
    assert (
        kept["0.weight_integers"].data_type
        == kept["4.weight_integers"].data_type
        == onnx.TensorProto.DataType.Value(kind)
    )
    assert "0.weight" not in kept
    values = onnx.numpy_helper.to_array(kept["0.weight_integers"]).astype(np.int32)
    assert len(np.unique(values)) == len(levels)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    assert torch.allclose(torch.as_tensor(outputs), net(x), atol=1e-4)


def test_a_space_of_bit_widths_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--space=resnet18", "--space.width=4", "--space.pairs=1/2,4/4", "--out", str(tmp_path / "run")]
    assert main(["run", *flags, "--int8"]) == 2
    assert "--int8: expected a space without bit widths of its own, got resnet18" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
