"""Quantizers do what the papers say, layers that use them are the plain layers of rounded numbers."""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from nets import additive, seeds, unsettle
from scoring_reference import score_one
from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.core.elastic import SliceBatchNorm2d, Width
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.core.quant_choice import Bits, QuantConv2d, QuantLinear, alphas, parse_pairs
from sparsenas.costs import CostTable, trace
from sparsenas.data.sources.digits import digits
from sparsenas.errors import UserError
from sparsenas.nn.bn_folding import fold_batch_norms, scale_output
from sparsenas.nn.quantize import (
    FixedQuantConv2d,
    FixedQuantLinear,
    Quantized,
    freeze_weights,
    quantize_activations,
    quantize_weights,
)
from sparsenas.objectives import Classification
from sparsenas.searching.eval_batches import make_eval_batches
from sparsenas.searching.population_evaluator import score_population
from sparsenas.testing import check_space

CLASSES = Classification(10)

PAIRS = ((1, 2), (2, 2), (3, 4), (4, 4))
VALUES = (2, 3, 5)

bit_widths = st.integers(1, 8)
alpha_values = st.floats(2**-7, 20, width=32)
every_pair = pytest.mark.parametrize("pick", range(len(PAIRS)))


def numbers(seed: int, count: int = 200, scale: float = 4.0) -> Tensor:
    return scale * torch.randn(count, generator=torch.Generator().manual_seed(seed))


@given(seeds, bit_widths, alpha_values)
def test_activations_lie_on_few_levels_from_zero_to_alpha(seed: int, bits: int, alpha: float) -> None:
    x, top = numbers(seed), torch.tensor(alpha)
    y = quantize_activations(x, top, bits)
    assert len(y.unique()) <= 2**bits
    assert y.min() >= 0
    assert y.max() <= top
    assert (y[x >= top] == top).all()
    assert (y - x.clamp(0, alpha)).abs().max() <= alpha / (2**bits - 1) / 2 * (1 + 1e-5)


@given(seeds, bit_widths, alpha_values)
def test_activations_are_monotone_and_idempotent(seed: int, bits: int, alpha: float) -> None:
    x, top = numbers(seed).sort().values, torch.tensor(alpha)
    y = quantize_activations(x, top, bits)
    assert (y.diff() >= 0).all()
    assert torch.equal(quantize_activations(y, top, bits), y)


@given(seeds, bit_widths, alpha_values)
def test_the_gradient_of_activations_passes_inside_and_alpha_has_the_rest(seed: int, bits: int, alpha: float) -> None:
    x = numbers(seed, 30).double()
    x[0], x[1], x[2] = alpha, 0, alpha / 2
    x.requires_grad_()
    top = torch.tensor(alpha, dtype=torch.double, requires_grad=True)
    after = numbers(seed + 1, 30).double()
    (quantize_activations(x, top, bits) * after).sum().backward()
    to_x, to_alpha = [], 0.0
    for value, grad in zip(x.tolist(), after.tolist(), strict=True):
        to_x.append(grad if 0 < value < alpha else 0.0)
        to_alpha += grad if value >= alpha else 0.0
    assert x.grad.tolist() == to_x
    assert float(top.grad) == pytest.approx(to_alpha)


def test_a_negative_alpha_counts_as_positive_and_what_is_no_number_is_not_hidden() -> None:
    x = torch.tensor([-1.0, 0.2, 3.0])
    expected = quantize_activations(x, torch.tensor(1.5), 2)
    assert torch.equal(quantize_activations(x, torch.tensor(-1.5), 2), expected)
    assert not quantize_activations(x, torch.tensor(0.0), 2).isnan().any()
    assert quantize_activations(torch.tensor([float("nan")]), torch.tensor(1.0), 2).isnan().all()


def test_activations_keep_their_type() -> None:
    x = numbers(0).bfloat16()
    y = quantize_activations(x, nn.Parameter(torch.tensor(2.5)), 4)
    assert y.dtype == torch.bfloat16
    assert len(y.unique()) <= 16


@given(seeds, bit_widths, st.sampled_from([0.01, 0.3, 2.0]))
def test_weights_lie_on_few_symmetric_levels(seed: int, bits: int, scale: float) -> None:
    w = numbers(seed, 99, scale)
    q = quantize_weights(w, bits)
    levels = q.unique()
    assert len(levels) <= 2**bits
    assert torch.equal(quantize_weights(-w, bits).unique(), (-levels).sort().values)
    assert (q[w.sort().indices].diff() >= 0).all()
    if bits == 1:
        assert torch.equal(q, w.sign() * w.abs().mean())
    else:
        top = 2**bits - 1
        possible = torch.arange(-top, top + 1, 2) / top
        assert torch.equal(possible, -possible.flip(0))
        assert torch.isin(levels, possible).all()
        squashed = w.tanh() / w.tanh().abs().max()
        assert (q - squashed).abs().max() <= 1 / top * (1 + 1e-5)
        assert q.abs().max() == 1


@given(seeds, st.integers(1, 3))
def test_weights_of_few_bits_are_not_rounded_again(seed: int, bits: int) -> None:
    q = quantize_weights(numbers(seed), bits)
    torch.testing.assert_close(quantize_weights(q, bits), q)


@given(seeds, bit_widths)
def test_the_gradient_of_weights_is_that_without_rounding(seed: int, bits: int) -> None:
    w = (numbers(seed, 20) / 4).double().requires_grad_()
    after = numbers(seed + 1, 20).double()
    (quantize_weights(w, bits) * after).sum().backward()
    if bits == 1:
        assert torch.equal(w.grad, after)
        return
    t = w.detach().tanh().tolist()
    g = after.tolist()
    most = max(range(20), key=lambda i: abs(t[i]))
    expected = [g[i] * (1 - t[i] ** 2) / abs(t[most]) for i in range(20)]
    through_max = sum(g[i] * t[i] for i in range(20)) / t[most] ** 2
    expected[most] -= through_max * (1 - t[most] ** 2) * (1 if t[most] > 0 else -1)
    torch.testing.assert_close(w.grad, torch.tensor(expected, dtype=torch.double))


def test_weights_that_are_all_zero_stay_finite() -> None:
    for bits in (1, 2, 4):
        w = torch.zeros(3, requires_grad=True)
        quantize_weights(w, bits).sum().backward()
        assert torch.isfinite(w.grad).all()


def bits_and_widths(pick: int, inputs: int, outputs: int) -> tuple[Bits, Width, Width, dict[str, Gate]]:
    gates = {"bits": Gate((pick,)), "in": Gate((inputs,)), "out": Gate((outputs,))}
    return Bits("bits", PAIRS), Width("in", VALUES), Width("out", VALUES), gates


@every_pair
@pytest.mark.parametrize("sizes", [(0, 2), (2, 0), (1, 1), (2, 2)])
def test_a_quantized_convolution_is_the_convolution_of_the_rounded_slice(pick: int, sizes: tuple[int, int]) -> None:
    bits, inputs, outputs, gates = bits_and_widths(pick, *sizes)
    conv = QuantConv2d(inputs, outputs, 3, bits, stride=2, padding=2, dilation=2)
    set_gates(conv, gates)
    i, o = (VALUES[size] for size in sizes)
    x = 3 * torch.randn(2, i, 7, 7)
    weight = quantize_weights(conv.layer.weight[:o, :i], PAIRS[pick][0])
    rounded = quantize_activations(x, conv.alpha, PAIRS[pick][1])
    expected = F.conv2d(rounded, weight, conv.layer.bias[:o], stride=2, padding=2, dilation=2)
    assert torch.equal(conv(x), expected)
    plain = derive(conv, gates)
    assert isinstance(plain, FixedQuantConv2d)
    assert (plain.in_channels, plain.out_channels, plain.bits) == (i, o, PAIRS[pick])
    assert torch.equal(plain(x), expected)


@every_pair
def test_a_quantized_depthwise_convolution_is_one(pick: int) -> None:
    bits, width, _, gates = bits_and_widths(pick, 1, 1)
    conv = QuantConv2d(width, width, 3, bits, padding=1, depthwise=True, bias=False)
    set_gates(conv, gates)
    x = torch.randn(2, 3, 5, 5)
    plain = derive(conv, gates)
    assert (plain.groups, plain.in_channels, plain.weight.shape) == (3, 3, (3, 1, 3, 3))
    assert torch.equal(plain(x), conv(x))


@every_pair
@pytest.mark.parametrize("sizes", [(0, 2), (2, 2)])
def test_a_quantized_linear_layer_is_the_linear_layer_of_the_rounded_slice(pick: int, sizes: tuple[int, int]) -> None:
    bits, inputs, outputs, gates = bits_and_widths(pick, *sizes)
    linear = QuantLinear(inputs, outputs, bits)
    set_gates(linear, gates)
    i, o = (VALUES[size] for size in sizes)
    x = torch.randn(4, i)
    weight = quantize_weights(linear.layer.weight[:o, :i], PAIRS[pick][0])
    expected = F.linear(quantize_activations(x, linear.alpha, PAIRS[pick][1]), weight, linear.layer.bias[:o])
    assert torch.equal(linear(x), expected)
    plain = derive(linear, gates)
    assert isinstance(plain, FixedQuantLinear)
    assert torch.equal(plain(x), expected)


def test_a_fixed_pair_is_no_choice() -> None:
    net = nn.Sequential(QuantConv2d(2, 3, 1, (2, 3)), nn.Flatten(), QuantLinear(3, 2, (4, 4), bias=False))
    assert choices(net) == {}
    x = torch.randn(2, 2, 1, 1)
    assert torch.equal(derive(net, {})(x), net(x))


def test_layers_share_a_choice_and_weights_can_be_shared() -> None:
    bits = Bits("b", PAIRS)
    net = nn.Sequential(QuantConv2d(2, 3, 1, bits), QuantConv2d(3, 2, 1, bits))
    assert {name: choice.options for name, choice in choices(net).items()} == {"b": ("w1a2", "w2a2", "w3a4", "w4a4")}
    gates = {"b": Gate((1,))}
    shared = derive(net, gates, share_weights=True)
    assert shared[0].weight is net[0].layer.weight
    assert shared[0].alpha is net[0].alpha
    assert derive(net, gates)[0].weight is not net[0].layer.weight
    assert not choices(shared)
    assert all(parameter.device.type == "cpu" for parameter in shared.parameters())


def test_a_block_may_keep_its_bits_at_hand() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bits = Bits("b", PAIRS)
            self.conv = QuantConv2d(1, 1, 1, self.bits)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) * self.bits.value[0]

    block = Block()
    plain = derive(block, {"b": Gate((2,))})
    x = torch.rand(1, 1, 2, 2)
    assert torch.equal(plain(x), block(x))
    assert not choices(plain)


@pytest.mark.parametrize("text", ["", "2", "2/x", "2/2,", "0/2", "2/17", "2/2,2/2", "-1/2"])
def test_wrong_pairs_are_told(text: str) -> None:
    with pytest.raises(UserError, match="bit widths: expected"):
        parse_pairs(text)


def test_pairs_are_read() -> None:
    assert parse_pairs("1/2, 4/4") == ((1, 2), (4, 4))
    with pytest.raises(UserError, match="expected 1 to 16 bits"):
        Bits("b", [(0, 2)])
    with pytest.raises(UserError, match="expected 1 to 16 bits"):
        FixedQuantLinear(1, 1, (2, 99))


def small(widths: bool = True) -> nn.Sequential:
    """A quantized space whose widths and bits are chosen together; nothing before a rounding can be folded."""
    layers: list[nn.Module] = []
    for i in range(2):
        bits = Bits(f"bits{i}", PAIRS)
        middle = Width(f"width{i}", (2, 4, 6)) if widths else 4
        first = QuantConv2d(4 if i else 1, middle, 3, bits, padding=1, bias=False)
        second = QuantConv2d(middle, 4, 1, bits, bias=False)
        layers.append(nn.Sequential(first, SliceBatchNorm2d(middle), second, nn.BatchNorm2d(4)))
    head = (nn.AdaptiveAvgPool2d(2), nn.Flatten(), QuantLinear(16, 10, Bits("head", PAIRS)))
    return nn.Sequential(*layers, nn.Sequential(*head))


def test_conformance() -> None:
    check_space(small, (1, 8, 8), archs=30)


def test_costs_see_the_bits() -> None:
    table = CostTable(small(), (1, 8, 8))
    assert all(additive(table))
    arch = Arch.from_text(table.choices, "00012")
    net = small()
    assert list(choices(net)) == ["bits0", "width0", "bits1", "width1", "head"]
    set_gates(net, arch.gates())
    layers = [layer for layer in trace(net, (1, 8, 8)) if layer.op in ("conv2d", "linear")]
    assert [layer.bits for layer in layers] == [(1, 2), (1, 2), (1, 2), (1, 2), (3, 4)]
    positions = 64
    convolutions = positions * (1 * 2 * 9 + 2 * 4) + positions * (4 * 4 * 9 + 4 * 4)
    assert table([arch])["bitops"][0] == table.exact(arch)["bitops"] == convolutions * 2 + 160 * 12
    assert table.exact(arch)["flops"] == convolutions + 160


def test_full_precision_has_no_bits() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), QuantConv2d(2, 2, 1, (2, 2)))
    assert [layer.bits for layer in trace(net, (1, 3, 3))] == [None, None, (2, 2)]


@every_pair
def test_freezing_changes_nothing_but_the_weights(pick: int) -> None:
    net = small().eval()
    unsettle(net)
    gates = {name: Gate((pick % len(choice.options),)) for name, choice in choices(net).items()}
    plain = derive(net, gates, share_weights=True)
    before = copy.deepcopy(net.state_dict())
    x = torch.randn(5, 1, 8, 8)
    expected = plain(x)
    frozen = freeze_weights(plain)
    assert torch.equal(frozen(x), expected)
    rounded = [module for module in frozen.modules() if isinstance(module, Quantized)]
    assert len(rounded) == 5
    assert all(len(module.weight.unique()) <= 2 ** module.bits[0] for module in rounded)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(freeze_weights(frozen)(x), expected)


def test_a_derived_network_can_be_trained_on() -> None:
    torch.manual_seed(0)
    net = small().train()
    plain = derive(net, Arch.sample(choices(net), np.random.default_rng(0)).gates())
    assert [len(alphas(net)), len(alphas(plain))] == [5, 5]
    before = copy.deepcopy(plain.state_dict())
    # As large as that some are clipped everywhere.
    plain(9 * torch.randn(32, 1, 8, 8)).square().sum().backward()
    torch.optim.SGD(plain.parameters(), lr=0.01).step()
    moved = [not torch.equal(before[name], value) for name, value in plain.named_parameters()]
    assert all(moved[: len(moved) - 1])
    assert len({id(parameter) for parameter in alphas(plain)} & {id(p) for p in plain.parameters()}) == 5


def test_folding_leaves_quantized_layers_right() -> None:
    net = nn.Sequential(
        QuantConv2d(1, 3, 3, (2, 2)), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU()
    ).eval()
    unsettle(net)
    plain = derive(net, {}).eval()
    x = torch.randn(2, 1, 6, 6)
    expected = plain(x)
    folded = fold_batch_norms(copy.deepcopy(plain))
    assert [type(layer) for layer in folded] == [
        FixedQuantConv2d,
        nn.BatchNorm2d,
        nn.Conv2d,
        nn.Identity,
        nn.ReLU,
    ]
    torch.testing.assert_close(folded(x), expected)
    torch.testing.assert_close(scale_output(plain[0], -2.0)(x), -2 * plain[0](x))


@pytest.mark.parametrize("widths", [False, True])
def test_population_equals_reference(widths: bool) -> None:
    torch.manual_seed(0)
    net = small(widths)
    for parameter in net.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    eval_batches = make_eval_batches(digits(), calibration=200, val=200, batch=100, seed=0)
    rng = np.random.default_rng(0)
    archs = [Arch.sample(choices(net), rng) for _ in range(12)]
    assert score_population(net, archs, eval_batches, CLASSES) == [score_one(net, arch, eval_batches) for arch in archs]


def exports(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What ``net`` computes once exported, for any batch size, by torch.export and by ONNX Runtime."""
    batch = {0: torch.export.Dim("batch", min=1)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(net, (x[:2],), dynamic_shapes=(batch,))
        onnx = torch.onnx.export(net, (x[:2],), dynamo=True, dynamic_shapes=(batch,), verbose=False)
    assert onnx is not None
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    session = onnxruntime.InferenceSession(onnx.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    return torch.export.load(buffer).module()(x), torch.as_tensor(found)


def test_exports_agree_while_weights_are_unrounded() -> None:
    torch.manual_seed(0)
    net = small()
    plain = derive(net, Arch.from_text(choices(net), "01213").gates()).eval()
    x = torch.randn(16, 1, 8, 8)
    with torch.no_grad():
        expected = plain(x)
    exported, found = exports(plain, x)
    assert torch.equal(exported, expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
