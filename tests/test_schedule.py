"""Recipes: schedules, what is done to images and networks in training, and the shipped configurations."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.augmentation.auto import RandAugment
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from sparsenas.commands.run import run
from sparsenas.commands.search import search
from sparsenas.costs import Budget, parse_budgets
from sparsenas.data import Target, cutout, digits, erased, rand_augment
from sparsenas.data.transforms import _operations
from sparsenas.errors import UserError
from sparsenas.job.flags.parse import parse
from sparsenas.job.flags.sources import RECIPES, shipped
from sparsenas.job.settings import _check_range
from sparsenas.methods import METHODS
from sparsenas.nn.auxiliary_head import Deep, Outputs
from sparsenas.objectives import Classification
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.training import trainer
from sparsenas.training.loss import training_loss
from sparsenas.training.optimizers import make_optimizer
from sparsenas.training.recipe import Recipe
from sparsenas.training.step import augmented, inputs, update
from sparsenas.training.trainer import Trainer

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@given(st.integers(1, 40), st.integers(0, 39), st.sampled_from(["linear", "cosine"]))
def test_the_rate_falls_from_where_it_is_told_to_its_end(epochs: int, since: int, schedule: str) -> None:
    recipe = Recipe(epochs=epochs, lr=0.5, lr_end=0.1, schedule=schedule)  # type: ignore[arg-type]
    steps, start = 7 * epochs, 7 * min(since, epochs)
    rates = [recipe.lr_at(step, steps, start) for step in range(steps + 1)]
    assert all(rate == 0.5 for rate in rates[:start])
    assert all(a > b for a, b in zip(rates[start:], rates[start + 1 :], strict=False))
    if start < steps:
        assert rates[-1] == pytest.approx(0.1)


def test_the_rate_is_that_of_a_shorter_run_that_begins_later() -> None:
    whole, rest = Recipe(epochs=10, lr=0.3), Recipe(epochs=6, lr=0.3)
    for step in range(60):
        assert whole.lr_at(40 + step, 100, 40) == pytest.approx(rest.lr_at(step, 60))


@given(st.integers(1, 30), st.integers(0, 29))
def test_drop_path_grows_from_nothing(epochs: int, since: int) -> None:
    recipe = Recipe(epochs=epochs, drop_path=0.3)
    rates = [recipe.drop_path_at(epoch, min(since, epochs)) for epoch in range(epochs)]
    assert all(rate == 0 for rate in rates[: since + 1])
    assert all(a < b < 0.3 for a, b in zip(rates[since:], rates[since + 1 :], strict=False))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_cutout_blanks_one_square(height: int, width: int, side: int) -> None:
    x = torch.rand(5, 3, height, width) + 1
    y = cutout(x, side)
    for before, after in zip(x, y, strict=True):
        gone = after == 0
        assert torch.equal(gone[0], gone[1])
        rows, columns = np.flatnonzero(gone[0].any(1)), np.flatnonzero(gone[0].any(0))
        assert 0 < len(rows) <= side
        assert 0 < len(columns) <= side
        assert gone[0].sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        assert torch.equal(after[~gone], before[~gone])


def test_a_square_may_reach_beyond_the_edge_and_else_is_whole() -> None:
    torch.manual_seed(0)
    sizes = (cutout(torch.ones(2000, 1, 8, 8), 4) == 0).sum((1, 2, 3))
    assert sizes.max() == 16
    assert sizes.min() == 4  # a quarter of it inside, at a corner


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_boxes_are_erased_with_a_probability(probability: float) -> None:
    torch.manual_seed(0)
    x = torch.rand(400, 3, 16, 16) + 1
    y = erased(x, probability)
    shares = (y == 0).float().mean((1, 2, 3))
    assert float((shares > 0).float().mean()) == pytest.approx(probability, abs=0.05)
    assert shares.max() <= 0.36  # sides are whole pixels
    assert torch.equal(y[y != 0], x[y != 0])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_rand_augment_keeps_images_images(channels: int) -> None:
    images, change = torch.rand(8, channels, 16, 16), rand_augment(9, channels)
    seen = []
    for seed in (*range(12), 0):
        torch.manual_seed(seed)
        seen.append(change(images))
        assert seen[-1].shape == images.shape
        assert 0 <= seen[-1].min() <= seen[-1].max() <= 1
    assert torch.equal(seen[0], seen[-1])
    assert len({float(changed.sum()) for changed in seen}) > 8


@pytest.mark.parametrize("sign", [1, -1])
def test_operations_of_a_small_magnitude_change_little(sign: int) -> None:
    torch.manual_seed(0)
    x = functional.interpolate(torch.rand(16, 3, 4, 4), size=(16, 16), mode="bilinear")

    def changes(magnitude: int) -> dict[str, float]:
        every = _operations(magnitude / 10, sign, 3)
        return {op[0][0]: float((RandAugment(1, 3 * magnitude, policy=[op])(x) - x).abs().mean()) for op in every}

    small, middle, large = (changes(magnitude) for magnitude in (1, 5, 9))
    assert len(small) == 13
    assert all(small[name] <= middle[name] <= large[name] for name in small)
    assert max(small.values()) < 0.08


def test_rand_augment_follows_the_augmentation_of_the_data() -> None:
    data = replace(digits(), augment=lambda x: x * 0)  # black
    images, epoch = data.train.subset(torch.arange(8)), 0
    torch.manual_seed(0)
    recipe = Recipe(rand_augment=5)
    change, black = rand_augment(5, 1), torch.zeros(8, 1, 8, 8)
    torch.manual_seed(0)
    x, _ = inputs(augmented(data, recipe), images, recipe, epoch)
    torch.manual_seed(0)
    torch.testing.assert_close(x, data.laid_out((change(black) - data.mean[0]) / data.std[0]))  # type: ignore[index]
    assert augmented(data, Recipe()) is data


def test_rand_augment_needs_images_in_its_range() -> None:
    with pytest.raises(UserError, match=r"--retrain.rand_augment: expected images of bytes .* from -1 to 3"):
        _check_range("--retrain.rand_augment", torch.tensor([-1.0, 3.0]))
    _check_range("--retrain.rand_augment", torch.tensor([0.0, 1.0]))


def test_the_auxiliary_loss_is_added_by_its_weight() -> None:
    logits, deep, labels = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    recipe = Recipe(auxiliary=0.4, smoothing=0.0)
    expected = functional.cross_entropy(logits, labels) + 0.4 * functional.cross_entropy(deep, labels)
    torch.testing.assert_close(
        training_loss(Classification(3), recipe, Outputs(logits, deep), Target(labels)), expected
    )


@pytest.mark.parametrize(("stage", "group"), [("supernet", "search"), ("baseline1", "retrain")])
def test_an_auxiliary_head_needs_features(stage: str, group: str, tmp_path: Path) -> None:
    data, run = digits(), Run(tmp_path)
    fabric, logger, checkpoint = Fabric(accelerator="cpu", devices=1), RunLogger(run), Checkpoint(run, stage)
    recipe = Recipe(auxiliary=0.4)
    with pytest.raises(UserError, match=f"^--{group}.auxiliary: expected 0 for Linear, got 0.4$"):
        Trainer(fabric, nn.Linear(2, 2), data, Classification(10), data.train, recipe, 0, logger, checkpoint)


def test_processes_share_a_batch_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "world", lambda: 3)
    data, run = digits(), Run(tmp_path)
    fabric, logger, checkpoint = Fabric(accelerator="cpu", devices=1), RunLogger(run), Checkpoint(run, "retrain")
    recipe = Recipe(batch=64)
    with pytest.raises(UserError, match="^--retrain.batch: expected a multiple of the number of processes, 3, got 64$"):
        Trainer(fabric, nn.Linear(2, 2), data, Classification(10), data.train, recipe, 0, logger, checkpoint)


@pytest.mark.parametrize(
    "flag",
    [
        {"cutout": -1},
        {"drop_path": 1.0},
        {"auxiliary": -0.1},
        {"lr_end": -1.0},
        {"erase": 1.1},
        {"rand_augment": 10},
        {"rand_augment": 1, "augment": False},
    ],
)
def test_recipes_that_make_no_sense(flag: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(flag))):
        Recipe(**flag)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [*RECIPES.glob("*.yaml"), *EXPERIMENTS.glob("*.yaml")], ids=lambda path: path.stem)
def test_every_shipped_configuration_parses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    needed = ["--data.root", "x"] if re.search("^data: {name: (cifar10|imagefolder)", path.read_text(), re.M) else []
    command = search if "#   sparsenas search" in path.read_text() else run
    for given_as in [str(path)] + [path.stem] * (path.stem in shipped()):
        (flags,) = parse(command, ["--config", given_as, *needed, "--search.epochs", "3"]).values()
        assert flags.search.epochs == 3
        assert flags.method.name in METHODS
        learner = flags.space.build("space", **({"shape": (3, 32, 32)} if "cifar" in path.stem else {}))
        assert isinstance(learner, nn.Module)


def test_the_published_recipe_searches_small_and_trains_large() -> None:
    (flags,) = parse(run, ["--config", "ista_cifar10", "--data.root", "x"]).values()
    assert flags.target == {"width": 36, "cells": 20, "closing_norms": "none"}
    assert flags.space.flags["width"] == 16
    assert (flags.retrain.epochs, flags.retrain.auxiliary, flags.retrain.cutout) == (600, 0.4, 16)


def test_the_published_recipe_of_dso_trains_as_wide_as_fits() -> None:
    assert "dso_cifar10" in shipped()
    (flags,) = parse(run, ["--config", "dso_cifar10", "--data.root", "x"]).values()
    assert (flags.scale_to, flags.target) == (["params<=3.0e6"], {"dropout": 0.4})
    assert parse_budgets(flags.scale_to) == [Budget("params", at_most=3e6)]
    search, retrain = flags.search, flags.retrain
    assert [search.lr_at(step, 240) for step in (0, 239)] == [0.1, 0.1]
    assert (search.epochs * flags.method.flags["pretrain"], search.batch) == (120, 128)
    assert (retrain.epochs, retrain.auxiliary, retrain.cutout, retrain.drop_path) == (630, 0.4, 16, 0.5)
    assert isinstance(flags.space.build("space"), Deep)


def test_the_published_recipe_of_spos_on_imagenet() -> None:
    (flags,) = parse(run, ["--config", "spos_imagenet", "--data.root", "x"]).values()
    method, search, retrain = flags.method.flags, flags.search, flags.retrain
    assert (flags.budget, method["bins"], method["bin_range"]) == (["flops<=330e6"], 7, (290e6, 360e6))
    assert (flags.score.calibration, flags.score.calibration % flags.score.batch) == (20_000, 0)
    assert [search.lr_at(step, 120) for step in (0, 60, 119)] == pytest.approx([0.5, 0.25, 0.5 / 120])
    assert (search.epochs, retrain.epochs, search.batch, search.decay) == (120, 240, 1024, "weights")
    assert replace(retrain, epochs=120, recalibrate=0) == search
    assert retrain.recalibrate == 1250 * 1024  # the released code's iterations of batches


def test_the_published_recipe_of_dso_on_imagenet() -> None:
    (flags,) = parse(run, ["--config", "dso_imagenet", "--data.root", "x"]).values()
    method, search, retrain = flags.method.flags, flags.search, flags.retrain
    assert (method["gamma"], method["period"], method["prune_every"], method["adapt"]) == (0.01, 5, 1, "none")
    assert (search.epochs * method["pretrain"], search.batch, search.clip_value, search.decay) == (
        30,
        256,
        2,
        "weights",
    )
    assert flags.data.flags["val_share"] == 1 / method["period"]
    assert (retrain.epochs, retrain.auxiliary, retrain.decay, retrain.warmup) == (240, 0.4, "scales", 5)
    assert isinstance(flags.space.build("space"), Deep)


def test_warm_restarts() -> None:
    """DSO-NAS: 10, 20, ... 320 epochs, 630 in all, each from the highest rate to nearly the lowest."""
    recipe = Recipe(epochs=630, lr=0.05, lr_end=1e-4, schedule="restarts")
    rates = [recipe.lr_at(step, 630 * 4) for step in range(630 * 4)]
    tops = [step // 4 for step, rate in enumerate(rates) if rate > 0.05 - 1e-9]
    assert tops == [0, 10, 30, 70, 150, 310]
    assert all(rates[4 * top - 1] < 1e-3 for top in [*tops[1:], 630])


def test_gradients_are_limited_number_by_number_and_then_as_a_whole() -> None:
    def gradient(**limits: float) -> torch.Tensor:
        """Of a weight whose step says what its limited gradient was."""
        recipe = Recipe(lr=1.0, momentum=0.0, weight_decay=0.0, **limits)  # type: ignore[arg-type]
        net = nn.Linear(3, 1, bias=False)
        optimizer, before = make_optimizer(recipe, net), net.weight.detach().clone()
        fabric = Fabric(accelerator="cpu", devices=1)
        fabric.launch()
        model, fabricated = fabric.setup(net, optimizer)
        fabric.backward(model(torch.tensor([[0.5, -3.0, 40.0]])).sum())
        update(fabric, model, fabricated, recipe)
        return (before - net.weight.detach()).flatten()

    whole = torch.tensor([0.5, -3.0, 40.0])
    assert torch.allclose(gradient(clip=0.0), whole, atol=1e-5)
    assert torch.allclose(gradient(clip=0.0, clip_value=2.0), whole.clamp(-2, 2), atol=1e-5)
    limited = whole.clamp(-2, 2)
    assert torch.allclose(gradient(clip=1.0, clip_value=2.0), limited / limited.norm(), atol=1e-4)
