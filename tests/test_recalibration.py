"""Batch norm recalibrated equals a loop by hand, and nothing but the statistics changes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from sparsenas.data import Data, digits
from sparsenas.nn.recalibration import recalibrate
from sparsenas.objectives import Classification
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.training.loops import train_network
from sparsenas.training.recipe import Recipe


def network(track: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(6, track_running_stats=track), nn.BatchNorm2d(4, momentum=0.3)]
    return nn.Sequential(nn.Conv2d(2, 6, 3), norms[0], nn.Dropout(0.5), nn.ReLU(), nn.Conv2d(6, 4, 3), norms[1])


def batches(count: int, scale: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [scale * torch.randn(5, 2, 8, 8, generator=generator) + i for i in range(count)]


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 3, 10])
def test_statistics_are_the_exact_mean_over_batches(count: int) -> None:
    net, xs = network(), batches(count)
    slow = copy.deepcopy(net).eval()
    means, variances = [], []
    for x in xs:
        hidden = slow[0](x)
        var, mean = torch.var_mean(hidden, (0, 2, 3))
        means, variances = [*means, mean.double()], [*variances, var.double()]
    recalibrate(net, xs)
    torch.testing.assert_close(net[1].running_mean, torch.stack(means).mean(0).float())
    torch.testing.assert_close(net[1].running_var, torch.stack(variances).mean(0).float())


@torch.no_grad()
def test_every_norm_reads_what_the_norms_before_it_make_of_the_batch() -> None:
    net, (x,) = network(), batches(1)
    slow = copy.deepcopy(net).train()
    slow[2].eval()
    for norm in (slow[1], slow[5]):
        norm.momentum = 1.0
    slow(x)
    recalibrate(net, [x])
    for fast, expected in zip(net.buffers(), slow.buffers(), strict=True):
        assert torch.equal(fast, expected)


def test_nothing_else_changes() -> None:
    net = network()
    net[5].eval()
    modes = [(module.training, module.__dict__.get("momentum")) for module in net.modules()]
    parameters = copy.deepcopy(dict(net.named_parameters()))
    recalibrate(net, batches(2))
    assert [(module.training, module.__dict__.get("momentum")) for module in net.modules()] == modes
    assert all(torch.equal(p, parameters[name]) for name, p in net.named_parameters())


def test_without_batches_statistics_stay() -> None:
    net = network()
    recalibrate(net, batches(2))
    before = copy.deepcopy(net.state_dict())
    recalibrate(net, [])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_norms_without_statistics_are_left_alone() -> None:
    net = network(track=False)
    recalibrate(net, batches(2))
    assert net[1].running_mean is None
    assert net[5].running_mean is not None


def retrained(folder: Path, images: int) -> nn.Module:
    """Trained for an epoch of two batches; then batch norm is recalibrated on so many images."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    split = digits().train.subset(torch.arange(64))
    data = Data(tuple("0123456789"), split, split, split, (0.5,), (0.5,))
    folder.mkdir()
    run, fabric = Run(folder), Fabric(accelerator="cpu", devices=1)
    recipe = Recipe(epochs=1, batch=32, recalibrate=images)
    train_network(
        fabric,
        net,
        data,
        Classification(10),
        split,
        recipe,
        0,
        RunLogger(run, quiet=True),
        Checkpoint(run, "retrain", 1e9),
    )
    return net


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_retraining_may_end_with_recalibrated_norms(rounds: int, tmp_path: Path) -> None:
    """Over all images the mean does not depend on how they are cut into batches."""
    plain, exact = retrained(tmp_path / "plain", 0), retrained(tmp_path / "exact", 64 * rounds)
    images = digits().train.inputs[:64].float() / 255
    with torch.no_grad():
        hidden = exact[0]((images - 0.5) / 0.5)
    torch.testing.assert_close(exact[1].running_mean, hidden.mean((0, 2, 3)))
    assert not torch.allclose(plain[1].running_mean, exact[1].running_mean, rtol=1e-3)
    assert not any(module.training for module in exact.modules())
    parameters = zip(plain.parameters(), exact.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in parameters)
