"""Networks of other libraries as spaces: by name, with their weights, on the images that they want.

A stand-in has those functions of timm that are called. The libraries themselves are tried where they are installed.
"""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.test_cli import fails
from torch import nn

from opening_nets import Residual
from sparsenas import UserError
from sparsenas.__main__ import main
from sparsenas.data import Data, Split
from sparsenas.data.preprocessing import Preprocessing
from sparsenas.job.build import build_data
from sparsenas.job.lookup import resolve
from sparsenas.job.plugin import Plugin
from sparsenas.job.space_facts import input_shape
from sparsenas.opening.fitting import load_fitting, of_channels
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.spaces.bridge import Bridge, BridgeFlags

RUN = (
    "run", "--accelerator=cpu", "--search.epochs=0", "--retrain.epochs=1", "--baselines=0", "--budget=flops<=60%",
    "--method.population=8", "--method.generations=1", "--method.parents=4", "--method.mutants=4",
    "--method.crossovers=4", "--score.calibration=32",
)  # fmt: skip


class Colored(nn.Module):
    """A stem, a block, a head."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(in_chans, 8, 3, padding=1), Residual(8, 8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(torch.relu(self.stem(x))).mean((2, 3)))  # type: ignore[no-any-return]


def create_model(
    name: str, pretrained: bool = False, num_classes: int = 5, in_chans: int = 3, img_size: int = 12
) -> nn.Module:
    if name == "unknown" or (pretrained and name == "untrained"):
        raise RuntimeError(f"no {name}")
    net = Colored(num_classes, in_chans)
    if pretrained:
        net.load_state_dict(trained())
    return net


def trained() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return Colored(5, 3).state_dict()


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    package, data = ModuleType("timm"), ModuleType("timm.data")
    package.__spec__ = ModuleSpec("timm", None)
    config = {"input_size": (3, 12, 12), "mean": (0.3, 0.4, 0.8), "std": (0.2, 0.2, 0.5)}
    vars(package).update(create_model=create_model, list_models=lambda: ["small", "untrained"], data=data)
    vars(data).update(resolve_model_data_config=lambda net: config)
    monkeypatch.setitem(sys.modules, "timm", package)
    monkeypatch.setitem(sys.modules, "timm.data", data)


@pytest.mark.usefixtures("timm")
def test_a_run_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main([*RUN, "--space=timm:small", f"--out={out}"]) == 0
    log = capsys.readouterr().err
    assert "head: a new layer of 10 outputs, since the weights are those of 5" in log
    assert "stem: reads 1 input channels by the weights of 3" in log
    supernet = torch.load(out / "supernet.pt", weights_only=True)["net"]
    assert torch.equal(supernet["net.block.first.0.weight"], trained()["block.first.0.weight"])
    torch.testing.assert_close(supernet["net.stem.weight"], trained()["stem.weight"].sum(1, keepdim=True))
    results = json.loads((out / "results.json").read_text())
    assert results["retrained"]["inherit"] is True
    assert json.loads((out / "data.json").read_text())["shape"] == [1, 12, 12]
    assert {"net.pt2", "net.onnx", "net.py", "report.html"} <= {path.name for path in out.iterdir()}
    assert main(["evaluate", str(out), "--accelerator=cpu"]) == 0


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--space=timm:unknown"], "--space timm:unknown: cannot be built: RuntimeError: no unknown"),
        (["--space=timm:untrained"], "its weights cannot be loaded: RuntimeError: no untrained"),
        (["--space=timm:small", "--space.args={pretrained_cfg: {}}"], "--space.args: expected no pretrained_cfg"),
        (["--space=timm:small", "--space.args={depth: 3}"], "cannot be built: TypeError"),
        (["--space=timm:small", "--space.weights=nowhere.pt"], "nowhere.pt"),
        (["--space=hf:nowhere/at-all"], "--space hf:nowhere/at-all: needs transformers, not installed"),
    ],
)
def test_mistakes(
    flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert told in fails(capsys, *RUN, *flags, f"--out={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("timm")
def test_images_are_those_of_the_configuration() -> None:
    bridge = resolve("space", "timm:small")
    assert isinstance(bridge, Bridge)
    wanted = bridge.preprocessing({})
    assert input_shape(Plugin("timm:small")) == (3, 12, 12)
    assert bridge.preprocessing({"img_size": 16}).size == (16, 16)
    digits = build_data(Plugin("digits"), 0, wanted)
    assert digits.shape == (1, 12, 12)
    assert digits.mean == (pytest.approx(0.5),)
    assert build_data(Plugin("digits", {"size": 10}), 0, wanted).shape == (1, 10, 10)


def test_inputs_that_are_used_as_they_are_stay_so() -> None:
    part = Split(torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.long))
    data, wanted = Data(("a",), part, part, part), Preprocessing((8, 8), (0.5,) * 3, (0.2,) * 3)
    assert wanted.applied(data) is data


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_equal_channels_give_the_output_of_three(channels: int) -> None:
    conv, image = nn.Conv2d(3, 4, 3), torch.randn(2, 1, 6, 6)
    expected = conv(image.expand(-1, 3, -1, -1))
    found = torch.conv2d(image.expand(-1, channels, -1, -1), of_channels(conv.weight, channels), conv.bias)
    torch.testing.assert_close(found, expected)


def test_other_weights_are_refused() -> None:
    state = trained()
    state["block.first.0.weight"] = torch.zeros(9, 8, 3, 3)
    with pytest.raises(UserError, match=r"here: expected block.first.0.weight of shape \(8, 8, 3, 3\), got \(9, "):
        load_fitting(Colored(10, 3), state, 10, "here")


def huggingface(folder: Path) -> str:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic")
    transformers.AutoModelForImageClassification.from_config(config).save_pretrained(folder)
    settings = {"image_mean": [0.5] * 3, "image_std": [0.2] * 3, "size": {"shortest_edge": 40}}
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "image_processor_type": "ConvNext"}))
    return f"hf:{folder}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", ["timm", "torchvision", "transformers"])
def test_the_libraries_themselves(library: str, tmp_path: Path) -> None:
    pytest.importorskip(library)
    names = {"timm": "timm:test_resnet.r160_in1k", "torchvision": "torchvision:squeezenet1_1"}
    bridge: Any = resolve("space", names.get(library) or huggingface(tmp_path))
    flags = BridgeFlags(pretrained=library == "transformers", shares=(0.5, 1.0))
    wanted = bridge.preprocessing({})
    assert wanted.size == {"timm": (160, 160), "torchvision": (224, 224)}.get(library, (40, 40))
    assert len(wanted.mean) == len(wanted.std) == 3
    space = bridge((1, 40, 40), 4, flags)
    assert isinstance(space, OpenedNetwork)
    x = torch.randn(2, 1, 40, 40)
    whole = space.net.eval()(x)
    assert whole.shape == (2, 4)
    if library == "transformers":
        from safetensors.torch import load_file

        name = "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight"
        assert torch.equal(space.net.state_dict()[name], load_file(tmp_path / "model.safetensors")[name])
