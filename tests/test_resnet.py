"""The mixed-precision ResNets are the published ones, train, score and export."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
import torch
from torch import nn

from scoring_reference import score_one
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch, space_size
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices
from sparsenas.core.quant_choice import QuantConv2d
from sparsenas.costs import CostTable, trace
from sparsenas.data.sources.digits import digits
from sparsenas.errors import UserError
from sparsenas.nn.quantize import freeze_weights
from sparsenas.objectives import Classification
from sparsenas.searching.eval_batches import make_eval_batches
from sparsenas.searching.population_evaluator import score_population
from sparsenas.spaces import SPACES
from sparsenas.spaces.published import read_arch
from sparsenas.spaces.resnet import resnet18, resnet34
from sparsenas.testing import check_space, shaken
from test_bits import exports

CLASSES = Classification(10)

# BitOPs of the uniform baselines in units of 2^30 (SPOS, table of mixed precision).
PUBLISHED = {"resnet18": (6.32, 14.21, 25.27), "resnet34": (13.21, 29.72, 52.83)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_bitops_are_the_published_ones(name: str) -> None:
    table = CostTable(SPACES[name](pairs="2/2,3/3,4/4"), (3, 224, 224))
    found = [table.exact(read_arch(table.choices, f"uniform:w{k}a{k}"))["bitops"] for k in (2, 3, 4)]
    assert [round(bitops / 2**30, 2) for bitops in found] == list(PUBLISHED[name])
    assert found[0] * 9 == found[1] * 4
    assert found[0] * 16 == found[2] * 4


@pytest.mark.parametrize(("make", "count", "blocks"), [(resnet18, 11_689_512, 8), (resnet34, 21_797_672, 16)])
def test_the_network_is_resnet(make: type[nn.Module], count: int, blocks: int) -> None:
    net = make()
    quantized = sum(isinstance(module, QuantConv2d) for module in net.modules())
    # The well-known number of parameters, and one clipping point a quantized convolution.
    assert sum(p.numel() for p in net.parameters()) == count + quantized
    assert list(choices(net)) == [f"block{i + 1}.bits" for i in range(blocks)]
    assert space_size(choices(net)) == 6**blocks
    table = CostTable(net, (3, 224, 224))
    arch = Arch.sample(table.choices, np.random.default_rng(0))
    layers = [layer for layer in trace(derive(net, arch.gates()), (3, 224, 224)) if layer.op in ("conv2d", "linear")]
    assert layers[0].bits is layers[-1].bits is None
    assert all(layer.bits is not None for layer in layers[1:-1])
    assert len(layers) == quantized + 2
    assert layers[-1].inputs == (1, 512)


@pytest.mark.parametrize(
    ("shape", "kernel", "sizes"),
    [
        ((3, 224, 224), 7, (56, 28, 14, 7)),
        ((3, 64, 64), 3, (32, 16, 8, 4)),
        ((3, 32, 32), 3, (32, 16, 8, 4)),
        ((3, 32, 90), 3, (32, 16, 8, 4)),
        ((1, 8, 8), 3, (8, 8, 8, 4)),
        ((1, 4, 4), 3, (4, 4, 4, 4)),
    ],
)
def test_small_images_keep_the_last_strides(
    shape: tuple[int, int, int], kernel: int, sizes: tuple[int, int, int, int]
) -> None:
    net = resnet18(pairs="2/2", width=4, shape=shape)
    layers = [layer for layer in trace(derive(net, _first(net).gates()), shape) if layer.op == "conv2d"]
    assert layers[0].weight[2] == kernel
    # Each block's second convolution, two blocks a stage.
    assert tuple(dict.fromkeys(layer.output[2] for layer in layers[2::2]))[-1] == sizes[-1]
    ends = [layer.output[2] for layer in layers if layer.weight[:2] in {(4 * 2**i, 4 * 2**i) for i in range(4)}]
    assert [ends[0], ends[4], ends[7], ends[-1]] == list(sizes)


def _first(net: nn.Module) -> Arch:
    return Arch(choices(net), {name: choice.first() for name, choice in choices(net).items()})


@pytest.mark.parametrize(("make", "widths"), [(resnet18, False), (resnet18, True), (resnet34, False)])
def test_conformance(make: type[nn.Module], widths: bool) -> None:
    check_space(lambda: make(width=8, widths=widths, shape=(3, 32, 32), classes=10), (3, 32, 32), archs=3)


def test_joint_widths_are_a_second_choice_in_each_block() -> None:
    net = resnet18(widths=True, width=10, shape=(1, 8, 8), classes=10)
    found = choices(net)
    assert list(found)[:2] == ["block1.bits", "block1.width"]
    assert found["block1.width"].options == ("0.2x", "0.4x", "0.6x", "0.8x", "1.0x", "1.2x", "1.4x", "1.6x")
    assert space_size(found) == 48**8
    plain = derive(net, Arch(found, dict.fromkeys(found, (0,))).gates())
    assert plain[1].body[0].out_channels == 2


def test_wrong_flags_are_told() -> None:
    with pytest.raises(UserError, match="expected distinct weight/activation pairs"):
        resnet18(pairs="2x2")
    with pytest.raises(UserError, match="--space.width: expected >= 1, got 0"):
        resnet18(width=0)


def test_the_defaults_are_the_papers() -> None:
    for make in (resnet18, resnet34):
        defaults = {name: p.default for name, p in inspect.signature(make).parameters.items()}
        assert (defaults["shape"], defaults["classes"], defaults["width"]) == ((3, 224, 224), 1000, 64)
    options = next(iter(choices(resnet18()).values())).options
    assert options == ("w1a2", "w2a2", "w1a4", "w2a4", "w3a4", "w4a4")


def test_cost_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--space", "resnet18", "--arch", "uniform:w2a2", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["arch"] == "uniform:w2a2"
    assert line["bitops"] == 6_782_189_568
    flags = ["--space.pairs", "2/2,3/3", "--space.shape", "1,8,8", "--space.width", "8"]
    assert main(["cost", "--space", "resnet34", *flags, "--arch", "uniform:w3a3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bitops"] > 0


def small() -> nn.Sequential:
    torch.manual_seed(0)
    net = resnet18(width=8, shape=(1, 8, 8), classes=10)
    assert isinstance(shaken(net), nn.Sequential)
    return net


def test_population_equals_reference() -> None:
    net = small()
    eval_batches = make_eval_batches(digits(), calibration=200, val=200, batch=100, seed=0)
    rng = np.random.default_rng(0)
    archs = [Arch.sample(choices(net), rng) for _ in range(6)]
    ours, reference = (
        score_population(net, archs, eval_batches, CLASSES),
        [score_one(net, arch, eval_batches) for arch in archs],
    )
    # The stem's folded batch norm changes the last digit of what is rounded: now and then another level comes out.
    assert np.allclose([s["accuracy"] for s in ours], [s["accuracy"] for s in reference], atol=0.01)
    assert np.allclose([s["loss"] for s in ours], [s["loss"] for s in reference], rtol=1e-2)


def test_exports_agree() -> None:
    net = small()
    plain = derive(net, Arch.sample(choices(net), np.random.default_rng(1)).gates()).eval()
    x = torch.randn(16, 1, 8, 8)
    with torch.no_grad():
        expected = plain(x)
    exported, found = exports(freeze_weights(plain), x)
    assert torch.equal(exported, expected)
    # Another order of summation may tip an activation to the next level, in few images.
    close = (found - expected).abs().amax(dim=1) < 1e-3
    assert close.float().mean() >= 0.9
    assert (found.argmax(1) == expected.argmax(1)).float().mean() >= 0.9
