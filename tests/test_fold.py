"""Folding changes where the numbers are, not what comes out."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nets import seeds, unsettle
from sparsenas.nn.blocks import Residual, Scale, conv_bn, inverted_residual
from sparsenas.nn.bn_folding import fold_batch_norms, scale_output


class Rounding(nn.Conv2d):
    """A convolution of rounded weights: scaling its weights does not scale its output."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.round(), self.bias)


class Twice(nn.Sequential):
    """Does more than a sequence does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


OPS = {
    "conv": lambda: nn.Conv2d(2, 2, 3, padding=1),
    "conv without bias": lambda: nn.Conv2d(2, 2, 1, bias=False),
    "batch norm": lambda: nn.BatchNorm2d(2),
    "plain batch norm": lambda: nn.BatchNorm2d(2, affine=False),
    "conv, batch norm": lambda: conv_bn(2, 2, 3, relu=False),
    "conv, batch norm, relu": lambda: conv_bn(2, 2, 3),
    "nested": lambda: nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))),
    "empty": lambda: nn.Sequential(),
    "identity": lambda: nn.Identity(),
    "residual": lambda: Residual(nn.Conv2d(2, 2, 1)),
    "rounding": lambda: Rounding(2, 2, 1),
    "twice": lambda: Twice(nn.Conv2d(2, 2, 1)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", OPS)
@given(seed=seeds, factor=st.sampled_from([-2.0, -0.25, 0.0, 0.5, 3.0]))
def test_the_output_is_scaled(kind: str, training: bool, seed: int, factor: float) -> None:
    torch.manual_seed(seed)
    op = OPS[kind]().train(training)
    unsettle(op)
    scaled = scale_output(op, factor)
    x = torch.randn(2, 2, 4, 4)
    torch.testing.assert_close(scaled(x.clone()), factor * op(x.clone()))


@pytest.mark.parametrize(
    ("kind", "scales"),
    [("conv", 0), ("conv, batch norm", 0), ("nested", 0), ("conv, batch norm, relu", 1), ("twice", 1)],
)
def test_a_scale_is_added_only_where_nothing_takes_the_factor(kind: str, scales: int) -> None:
    scaled = scale_output(OPS[kind](), 2.0)
    assert sum(isinstance(module, Scale) for module in scaled.modules()) == scales


def test_the_operation_itself_is_left_alone() -> None:
    op = conv_bn(2, 2, 1, relu=False)
    before = copy.deepcopy(op.state_dict())
    scaled = scale_output(op, 5.0)
    assert all(torch.equal(before[key], value) for key, value in op.state_dict().items())
    assert scaled[0] is op[0]
    assert scaled[1] is not op[1]
    assert list(scaled.state_dict()) == list(op.state_dict())


@given(seeds)
def test_batch_norms_fold_into_convolutions(seed: int) -> None:
    torch.manual_seed(seed)
    plain_norm = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False))
    net = nn.Sequential(conv_bn(3, 4, 3), inverted_residual(4, 4, 3, 2), plain_norm, nn.BatchNorm2d(4)).eval()
    unsettle(net)
    x = torch.randn(2, 3, 6, 6)
    folded = fold_batch_norms(copy.deepcopy(net))
    torch.testing.assert_close(folded(x), net(x), rtol=1e-4, atol=1e-5)
    # Only the last one follows no convolution.
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 1


def test_folding_leaves_shared_weights_alone() -> None:
    conv = nn.Conv2d(1, 1, 1)
    net = nn.Sequential(conv, nn.BatchNorm2d(1)).eval()
    unsettle(net)
    before = conv.weight.clone()
    assert fold_batch_norms(net)[0] is not conv
    assert torch.equal(conv.weight, before)


def test_what_cannot_be_folded_stays() -> None:
    without = nn.BatchNorm2d(2, track_running_stats=False)
    net = nn.Sequential(Rounding(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), without).eval()
    before = copy.deepcopy(net)
    x = torch.randn(3, 2, 4, 4)
    assert torch.equal(fold_batch_norms(net)(x), before(x))
    assert [type(module) for module in net] == [Rounding, nn.BatchNorm2d, nn.Conv2d, nn.BatchNorm2d]
