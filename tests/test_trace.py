"""A trace sees the products of any network, and says what it cannot count."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nets import seeds
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.core.arch import Arch
from sparsenas.core.join import Join
from sparsenas.costs import COSTS, CostTable, Limits, parse_budgets, recorder, total, trace
from sparsenas.errors import UserError
from sparsenas.nn.clone import on_meta


class Call(nn.Module):
    """A function as a network, with the modules that it uses."""

    def __init__(self, function: Any, *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.function(*self.parts, *inputs, **named)


def flops(net: nn.Module, shape: Any) -> float:
    found = total(COSTS["flops"], trace(net, shape))
    assert total(COSTS["params"], trace(net, shape)) == sum(p.numel() for p in net.parameters())
    return found


def words(*shape: int) -> Tensor:
    return torch.zeros(1, *shape, dtype=torch.long)


ATTENTION = 4 * 8 * 8 * 6 + 2 * 6 * 6 * 8


@pytest.mark.parametrize("precision", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("net", "shape", "count"),
    [
        (nn.Conv1d(4, 6, 3, padding=1, groups=2), (4, 10), 6 * 2 * 3 * 10),
        (nn.Conv3d(2, 3, 3), (2, 5, 6, 7), 3 * 2 * 27 * 3 * 4 * 5),
        (nn.ConvTranspose1d(4, 2, 3, stride=2), (4, 5), 4 * 5 * 2 * 3),
        (nn.ConvTranspose3d(2, 3, 2), (2, 3, 3, 3), 2 * 27 * 3 * 8),
        (nn.Embedding(10, 4), words(6), 0),
        (nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3)), words(6), 6 * 12),
        (nn.Sequential(nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 3, bias=False)), (6, 4), 6 * 12),
        (nn.Sequential(nn.GroupNorm(2, 4), nn.Conv1d(4, 4, 1), nn.InstanceNorm1d(4)), (4, 6), 16 * 6),
        (nn.LSTM(4, 5, batch_first=True), (6, 4), 6 * (20 * 4 + 20 * 5)),
        (nn.GRU(4, 5, num_layers=2, batch_first=True), (6, 4), 6 * (15 * 4 + 3 * 15 * 5)),
        (nn.RNN(4, 5, batch_first=True, bidirectional=True), (6, 4), 2 * 6 * (5 * 4 + 5 * 5)),
        (Call(lambda lay, x: lay(x, x, x)[0], nn.MultiheadAttention(8, 2, batch_first=True)), (6, 8), ATTENTION),
        (
            Call(lambda lay, x: lay(x, x, x, need_weights=False)[0], nn.MultiheadAttention(8, 4, batch_first=True)),
            (6, 8),
            ATTENTION,
        ),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (6, 8), ATTENTION + 2 * 6 * 8 * 16),
        (Call(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)), (2, 6, 4), 2 * 2 * 6 * 6 * 4),
        (Call(lambda x: torch.einsum("bij,bkj->bik", x, x)), (6, 5), 6 * 6 * 5),
        (Call(lambda x: x @ x[0, 0].t()), (2, 6, 5), 2 * 6 * 6 * 5),
        (Call(lambda x: torch.baddbmm(x, x, x)), (6, 6), 6 * 6 * 6),
        (Call(lambda x: torch.addbmm(x[0], x, x)), (6, 6), 6 * 6 * 6),
        (Call(lambda x: x[0] @ x[0, 0]), (6, 5), 6 * 5),
        (Call(lambda x: x[0] @ x[0]), (5,), 5),
        (Call(lambda lay, x: lay(x, x[:, :2]), nn.Bilinear(3, 2, 4)), (3,), 4 * 3 * 3),
        (nn.Sequential(nn.MaxPool3d(2), nn.AvgPool3d(2), nn.AdaptiveAvgPool3d(1)), (2, 8, 8, 8), 0),
    ],
)
def test_flops_are_those_counted_by_hand(net: nn.Module, shape: Any, count: int, precision: torch.dtype) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="enable_nested_tensor")
        assert flops(net.to(precision), shape) == count
        assert all(p.dtype == precision for p in net.parameters())


def test_an_example_may_be_a_tree() -> None:
    net = Call(lambda a, b, image, words: a(image) + b(words).sum(1), nn.Linear(3, 4), nn.Embedding(9, 4))
    two = {"image": torch.zeros(1, 3), "words": words(5)}
    assert flops(net, two) == flops(net, (torch.zeros(1, 3), words(5))) == 12
    table = CostTable(
        nn.Sequential(
            Call(lambda pair: pair[0] + pair[1]),
            Join.of("c", {"a": nn.Linear(3, 2), "b": nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))}),
        ),
        (torch.zeros(1, 3), torch.zeros(1, 3)),
    )
    assert table.exact(Arch(table.choices, {"c": (1,)}))["flops"] == 25
    assert table([table.fullest])["flops"].tolist() == [6]
    assert Limits(table, parse_budgets(["flops>=7"])).legal([table.fullest]).tolist() == [False]


def test_a_network_that_branches_on_data_runs_on_numbers() -> None:
    def branch(layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x) if x.sum() < math.inf else layer(layer(x))  # type: ignore[no-any-return]

    net = Call(branch, nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()))
    assert flops(net, (4,)) == flops(net.double(), (4,)) == flops(on_meta(net), (4,)) == 16
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    both = Call(lambda lay, x: lay(x, x, x, need_weights=bool(x.sum() > 5))[0], attention)
    assert flops(both, (6, 8)) == ATTENTION
    recurrent = Call(lambda lay, x: lay(x)[0] if x.min() < 1 else x, nn.LSTM(4, 5, batch_first=True))
    assert flops(recurrent, (6, 4)) == 6 * (20 * 4 + 20 * 5)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_scripted_part_is_refused() -> None:
    inner = torch.jit.trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(1, 3, 8, 8))
    for cost in (trace, CostTable):
        with pytest.raises(UserError, match=r"^layer '0': expected a module of Python, got a scripted one[^\n]*$"):
            cost(nn.Sequential(inner, nn.Conv2d(4, 2, 1)), (3, 8, 8))


def test_a_lazy_layer_without_sizes_is_named() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(3))
    for cost in (trace, CostTable):
        with pytest.raises(
            UserError, match=r"^layer '1': expected known sizes, got a LazyBatchNorm2d without any[^\n]*$"
        ):
            cost(net, (3, 8, 8))


def test_what_is_not_counted_is_said() -> None:
    with pytest.warns(UserWarning, match="the multiply-adds of aten._fft_r2c.default are not counted"):
        assert flops(Call(lambda x: torch.fft.rfft(x).real), (8,)) == 0


def test_a_network_that_cannot_run_gets_its_own_error() -> None:
    def wrong(layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x if x.sum() > math.inf else x[:, :2])  # type: ignore[no-any-return]

    with pytest.raises(UserError, match=r"^network does not run on an input of shape 4: mat1 and mat2 [^\n]*$"):
        trace(Call(wrong, nn.Linear(4, 4)), (4,))


@given(
    seed=seeds,
    dims=st.integers(1, 3),
    kind=st.sampled_from(("plain", "transposed", "groups", "strided layout", "does not fit", "too small")),
)
@settings(max_examples=60, deadline=None)
def test_the_shape_of_a_convolution_is_that_of_torch(seed: int, dims: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    groups = 2 if kind == "groups" else 1
    sizes = [3] * dims if kind == "too small" else rng.integers(5, 12, dims).tolist()
    kernel = [4] * dims if kind == "too small" else rng.integers(1, 4, dims).tolist()
    inputs, outputs, batch = (2 * int(n) for n in rng.integers(1, 4, 3))
    x = torch.zeros(batch, inputs + (kind == "does not fit"), *sizes, device="meta")
    weight = torch.zeros(outputs, inputs // groups, *kernel, device="meta")
    weight = weight.transpose(0, 1) if kind == "transposed" else weight
    x = x.transpose(0, -1).contiguous().transpose(0, -1) if kind == "strided layout" else x
    bias = torch.zeros(outputs, device="meta") if rng.integers(2) else None
    padding = [0] * dims if kind == "too small" else rng.integers(0, 3, dims).tolist()
    numbers = (rng.integers(1, 3, dims).tolist(), padding, rng.integers(1, 3, dims).tolist())
    args = (x, weight, bias, *numbers, kind == "transposed", [0] * dims, groups)
    ours = recorder._SHORTCUTS[torch.ops.aten.convolution.default](args)
    if ours is None:
        assert kind not in ("plain", "groups")
        return
    expected = torch.ops.aten.convolution.default(*args)
    assert (ours.shape, ours.dtype, ours.stride()) == (expected.shape, expected.dtype, expected.stride())
