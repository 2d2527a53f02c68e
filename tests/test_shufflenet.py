"""The SPOS space is the paper's: figures, units, initialisation; and it stays fast to count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nets import additive
from sparsenas.core.arch import Arch, space_size
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs import CostTable, Limits, parse_budgets, segments, select, total, trace
from sparsenas.costs.layer import flops, params
from sparsenas.costs.layer_tables import layer_tables
from sparsenas.costs.segments import SegmentCosts
from sparsenas.errors import UserError
from sparsenas.exporting import export_network
from sparsenas.nn.clone import on_meta
from sparsenas.objectives import Regression
from sparsenas.rundir.folder import Run
from sparsenas.spaces.published import read_arch
from sparsenas.spaces.shufflenet import KERNELS, ShuffleUnit, shufflenet
from sparsenas.spaces.strides import kept_strides
from sparsenas.testing import check_space

IMAGENET = (3, 224, 224)
CIFAR = (3, 32, 32)


@pytest.fixture(scope="module")
def supernet() -> nn.Sequential:
    return shufflenet()


@pytest.fixture(scope="module")
def joint() -> nn.Sequential:
    return shufflenet("both")


def count(net: nn.Module, arch: Arch) -> tuple[float, float]:
    """Multiply-adds and parameters."""
    set_gates(net, arch.gates())
    layers = trace(net, IMAGENET)
    return total(flops, layers), total(params, layers)


# Multiply-adds and parameters, batch norm's included: those of the published networks and of one choice everywhere.
FIGURES = {
    "spos_a": (322_918_720, 3_558_464),
    "spos_c": (317_023_040, 3_353_104),
    "uniform:shuffle3": (295_842_496, 3_154_880),
    "uniform:shuffle5": (313_654_976, 3_211_968),
    "uniform:shuffle7": (340_373_696, 3_297_600),
    "uniform:xception": (358_825_920, 3_870_816),
    "2,1,0,1,2,0,2,0,2,0,2,3,0,0,0,0,3,2,3,3": (322_918_720, 3_558_464),
}


@pytest.mark.parametrize("text", FIGURES)
def test_figures_of_the_block_space(supernet: nn.Sequential, text: str) -> None:
    assert count(supernet, read_arch(choices(supernet), text)) == FIGURES[text]


def test_figures_of_the_joint_space(joint: nn.Sequential) -> None:
    found = read_arch(choices(joint), "spos_b")
    assert count(joint, found) == (327_857_920, 3_432_579)
    full = found.replace({name: (4,) for name in found if name.endswith(".width")})
    assert count(joint, full) == (318_729_024, 3_345_088)


def test_sizes(supernet: nn.Sequential, joint: nn.Sequential) -> None:
    assert space_size(choices(supernet)) == 4**20
    assert space_size(choices(joint)) == 32**20
    assert space_size(choices(shufflenet("widths", shape=CIFAR))) == 8**20
    assert list(choices(joint))[:3] == ["block1", "block1.width", "block2"]
    few = choices(shufflenet("widths", widths=(0.5, 1.0), shape=CIFAR))
    assert few["block20.width"].options == ("0.5x", "1.0x")


def test_reach_of_the_block_space(supernet: nn.Sequential) -> None:
    table = CostTable(supernet, IMAGENET)
    assert all(additive(table))
    cheapest, dearest = (table.exact(arch)["flops"] for arch in table.extremes("flops"))
    assert (cheapest, dearest) == (270_359_360, 398_609_216)
    with pytest.raises(UserError, match="this space reaches 270,359,360 to 398,609,216 flops"):
        Limits(table, parse_budgets(["flops<=270M"]))


@pytest.mark.parametrize("vary", ["widths", "both"])
def test_costs_with_widths_are_exact(vary: str) -> None:
    net = shufflenet(vary, shape=CIFAR, classes=10)  # type: ignore[arg-type]
    table, rng = CostTable(net, CIFAR), np.random.default_rng(7)
    assert all(additive(table))
    assert (table.linear_terms("flops") is None) == (vary == "both")
    archs = [Arch.sample(table.choices, rng) for _ in range(5)]
    for i, arch in enumerate(archs):
        set_gates(net, arch.gates())
        assert table(archs)["flops"][i] == total(flops, trace(net, CIFAR))


def test_no_block_is_traced_twice_under_the_same_picks(joint: nn.Sequential, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where costs are not read from tables of layers."""
    monkeypatch.setattr(select, "EXACT", [strategy for strategy in select.EXACT if strategy is not layer_tables])
    table, traced = CostTable(joint, IMAGENET), []
    trace_through = segments.trace_through
    monkeypatch.setattr(segments, "trace_through", lambda *args: traced.append(args) or trace_through(*args))
    assert all(additive(table))
    assert len(traced) == 1 + 20 * 32 + 1
    assert len(table._space.traced) <= 1 + 1 + table._space.checks


def test_segments_add_up_to_the_network(joint: nn.Sequential) -> None:
    shell, rng = on_meta(joint), np.random.default_rng(1)
    in_segments = SegmentCosts(shell, IMAGENET, {"flops": flops, "params": params})
    for _ in range(5):
        arch = Arch.sample(choices(joint), rng)
        assert tuple(in_segments(arch)) == count(joint, arch)


def test_conformance_with_blocks_and_widths() -> None:
    check_space(lambda: shufflenet("both", shape=(3, 8, 8), classes=10), (3, 8, 8), archs=3)


def test_even_channels_pass_and_odd_ones_are_worked_on() -> None:
    unit = ShuffleUnit(nn.Conv2d(3, 3, 1), None).eval()
    x = torch.randn(2, 6, 4, 5)
    expected = torch.cat([x[:, [0, 2, 4]], unit.main(x[:, [1, 3, 5]])], dim=1)
    assert torch.equal(unit(x), expected)
    assert torch.allclose(unit(x.to(memory_format=torch.channels_last)), expected, atol=1e-6)


def test_nothing_is_copied_to_split_the_channels() -> None:
    seen: list[torch.Tensor] = []
    unit = ShuffleUnit(nn.Identity(), None).eval()
    unit.main.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x = torch.randn(2, 6, 4, 5)
    unit(x)
    assert seen[0].untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


def test_a_block_that_changes_the_shape_shows_both_branches_everything(supernet: nn.Sequential) -> None:
    unit = supernet[5].ops[list(KERNELS).index("xception")]
    x = torch.randn(2, 64, 8, 8)
    assert unit(x).shape == (2, 160, 4, 4)
    assert torch.equal(unit(x), torch.cat([unit.project(x), unit.main(x)], dim=1))
    assert (unit.project(x).shape[1], unit.main(x).shape[1]) == (64, 96)


def test_every_choice_has_weights_of_its_own(supernet: nn.Sequential) -> None:
    units = [unit for block in supernet[1:-1] for unit in block.ops]
    assert len(units) == 20 * 4
    owned = [id(p) for unit in units for p in unit.parameters()]
    assert len(owned) == len(set(owned))
    kernels = [next(m for m in unit.main.modules() if isinstance(m, nn.Conv2d) and m.groups > 1) for unit in units[:4]]
    assert [conv.kernel_size[0] for conv in kernels] == list(KERNELS.values())


def test_initialisation(supernet: nn.Sequential, joint: nn.Sequential) -> None:
    for net in (supernet, joint):
        assert all(p.ndim > 1 for p in net.parameters()), "batch norm and classifier have no parameters of one axis"
        first, *others = [p for p in net.parameters() if p.ndim == 4]
        assert float(first.detach().std()) == pytest.approx(0.01, rel=0.15)
        for weight in others:
            expected, n = 1 / weight.shape[1], weight.numel()
            assert float(weight.detach().std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * n))
            assert abs(float(weight.detach().mean())) < 5 * expected / math.sqrt(n)
        assert float(net[-1][-1].weight.detach().std()) == pytest.approx(0.01, rel=0.01)
        assert net[-1][-1].bias is None


def test_the_derived_network_has_affine_batch_norms(joint: nn.Sequential) -> None:
    plain = derive(joint, read_arch(choices(joint), "spos_b").gates())
    norms = [module for module in plain.modules() if isinstance(module, _BatchNorm)]
    assert all(norm.affine for norm in norms)
    assert sum(p.numel() for p in plain.parameters()) == 3_432_579


@pytest.mark.parametrize(
    ("pixels", "kept"),
    [(224, 5), (97, 5), (96, 4), (64, 4), (32, 3), (28, 3), (25, 3), (8, 1), (7, 1), (6, 0), (1, 0)],
)
def test_strides_that_make_sense(pixels: int, kept: int) -> None:
    assert kept_strides((3, pixels, 2 * pixels), (2, 2, 2, 2, 2)) == [1] * (5 - kept) + [2] * kept
    assert kept_strides((3, 2 * pixels, pixels), (2, 1)) == [2 if kept else 1, 1]


@pytest.mark.parametrize(("pixels", "maps"), [(64, (32, 16, 8, 4)), (32, (32, 16, 8, 4)), (8, (8, 8, 8, 4))])
def test_small_images(pixels: int, maps: tuple[int, ...]) -> None:
    net = shufflenet(shape=(1, pixels, pixels), classes=7).eval()
    set_gates(net, Arch(choices(net), dict.fromkeys(choices(net), (0,))).gates())
    x, sizes = torch.randn(1, 1, pixels, pixels), []
    for i, part in enumerate(net):
        x = part(x)
        if i in (4, 8, 16, 20):
            sizes.append(x.shape[-1])
    assert tuple(sizes) == maps
    assert x.shape == (1, 7)


def test_the_derived_network_is_exported() -> None:
    net = shufflenet(shape=CIFAR, classes=10)
    plain = derive(net, read_arch(choices(net), "spos_a").gates()).eval()
    x = torch.randn(2, *CIFAR)
    assert torch.equal(torch.export.export(plain, (x,)).module()(x), plain(x))


def test_both_kinds_of_block_are_exported_to_onnx(tmp_path: Path) -> None:
    net = shufflenet("both", shape=CIFAR, classes=10)
    blocks = derive(net, read_arch(choices(net), "spos_b").gates())[4:6]
    x = torch.randn(16, 64, 8, 8)
    for module in blocks.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None
    blocks(x)  # statistics that fit, so that outputs are of the order of 1
    assert export_network(Run(tmp_path), blocks, x, Regression()).onnx_max_difference < 1e-4


def test_what_may_vary_is_checked() -> None:
    with pytest.raises(UserError, match="--space.vary: expected blocks, widths or both, got 'depth'"):
        shufflenet("depth")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="width 'block1.width': expected increasing"):
        shufflenet("widths", widths=(1.0, 0.5))


def test_training_splits_channels_as_evaluation_does_and_keeps_the_layout_of_gradients() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 12, 5, 5).contiguous(memory_format=torch.channels_last)
    weights = torch.randn_like(x)
    unit = ShuffleUnit(nn.Tanh(), None)
    results, gradients = [], []
    for mode in (True, False):
        inner = x.clone().requires_grad_() * 1
        inner.register_hook(gradients.append)
        results.append(unit.train(mode)(inner))
        (results[-1] * weights).sum().backward()
    assert torch.equal(*results)
    assert torch.equal(*gradients)
    last = [gradient.is_contiguous(memory_format=torch.channels_last) for gradient in gradients]
    assert last == [True, False], "where both are True the special case can go"
