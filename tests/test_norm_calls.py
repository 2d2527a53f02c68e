"""Batch norm is recalibrated over every call of a norm, however often and in whatever way a network runs it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sparsenas.errors import UserError
from sparsenas.nn.recalibration import recalibrate


def batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(5, 2, 8, 8, generator=generator) + i for i in range(count)]


def how_often(times: int | None, x: torch.Tensor) -> int:
    """``None`` stands for a branch on the data."""
    return times if times is not None else 3 if x.mean() > 0.5 else 0


class Again(nn.Module):
    """Runs its norm a number of times in a forward, which may depend on the batch; once past ``__call__``."""

    def __init__(self, norm: nn.Module, times: int | None = None) -> None:
        super().__init__()
        self.norm, self.times = norm, times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in range(how_often(self.times, x)):
            x = (self.norm.forward if i == 1 else self.norm)(x * 2 + 1).relu()
        return x


NORMS = {
    "batch norm": lambda: nn.BatchNorm2d(2),
    "any dimension": lambda: nn.SyncBatchNorm(2),
    "no momentum": lambda: nn.BatchNorm2d(2, momentum=None),
    "no parameters": lambda: nn.BatchNorm2d(2, affine=False),
    "instance norm": lambda: nn.InstanceNorm2d(2, track_running_stats=True),
    "lazy": lambda: nn.LazyBatchNorm2d(),
}


@torch.no_grad()
@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("times", [0, 1, 2, 3, None])
def test_every_call_of_a_norm_counts(kind: str, times: int | None) -> None:
    """The mean over all calls: what a norm that is never called has stays."""
    torch.manual_seed(0)
    norm, xs = NORMS[kind](), batches(4)
    norm(xs[0])
    before, seen = copy.deepcopy(norm.state_dict()), []
    alone = copy.deepcopy(norm).train()
    alone.momentum = 1.0
    for x in xs:
        y = x
        for _ in range(how_often(times, x)):
            y = alone(y * 2 + 1).relu()
            seen.append((alone.running_mean.double(), alone.running_var.double()))
    recalibrate(Again(norm, times), xs)
    expected = [torch.stack(part).mean(0).float() for part in zip(*seen, strict=True)]
    for name, value in zip(("running_mean", "running_var"), expected, strict=False):
        torch.testing.assert_close(norm.state_dict()[name], value, rtol=1e-6, atol=1e-7)
    if not seen:
        assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert "forward" not in vars(norm)


def test_a_forward_of_ones_own_is_kept() -> None:
    norm = nn.BatchNorm2d(2)
    norm.forward = own = lambda x: nn.BatchNorm2d.forward(norm, x + 1)
    recalibrate(norm, [torch.ones(4, 2, 3, 3)])
    assert norm.forward is own
    assert norm.running_mean.tolist() == [2, 2]


def test_one_example_has_no_statistics() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with pytest.raises(UserError, match=r"at least 2 examples.* got an input of shape \(1, 2\)"):
        recalibrate(net, [torch.randn(1, 3)])
    assert net.training
    assert "forward" not in vars(net[1])
