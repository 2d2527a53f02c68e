"""Flags of trainings that do not fit the data or the network, told before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices, set_gates
from sparsenas.data.dataset import is_one_image
from sparsenas.data.lazy import own_generators
from sparsenas.errors import UserError, told
from sparsenas.job.build import build_space
from sparsenas.job.distillation import learns
from sparsenas.job.task import Task
from sparsenas.methods import Method
from sparsenas.nn.tree import call
from sparsenas.training.recipe import Recipe

FOR_IMAGES = ("sizes", "rand_augment", "erase", "cutout", "cutmix")
"""Flags of a recipe that change images."""


def check_settings(task: Task, recipes: Mapping[str, Recipe], method: Method | None = None) -> None:
    """Raises ``UserError`` for flags that the inputs or the network cannot take; recipes are by their flag."""
    for flag, recipe in recipes.items():
        _check_inputs(flag, recipe, task.data.example)
        if recipe.rand_augment > 0:
            _check_range(f"{flag}.rand_augment", task.data.train.example)
        if recipe.epochs == 0 and (flag != "--search" or method is None or learns(method) or task.opened is None):
            untrained = "only an opened network has weights that candidates can be scored on"
            why = untrained if flag == "--search" and task.opened is None else "something has to be learned"
            raise UserError(f"{flag}.epochs: expected >= 1, got 0: {why}")
    with own_generators():
        for flag, recipe in recipes.items():
            for size in dict.fromkeys(recipe.sizes):
                _try(task, f"{flag}.sizes {size}", lambda net, x: call(net.eval(), x), size)
        if method is not None and method.learns_on_val and len(task.data.val) == 1:
            _try(task, "one validation example to learn from", lambda net, x: call(net.train(), x))


def _check_inputs(flag: str, recipe: Recipe, x: Any) -> None:
    for name in FOR_IMAGES:
        if (value := vars(recipe)[name]) and not is_one_image(x):
            raise UserError(f"{flag}.{name}: expected none, since the inputs are no images, got {value}")
    if recipe.mixup > 0 and not (isinstance(x, Tensor) and x.is_floating_point()):
        raise UserError(
            f"{flag}.mixup: expected 0, since the inputs are no single tensor of floats, got {recipe.mixup:g}"
        )


def _check_range(flag: str, image: Tensor) -> None:
    """Its operations are made for bytes, or for floats from 0 to 1."""
    if image.dtype != torch.uint8 and not 0 <= image.min() <= image.max() <= 1:
        low, high = image.min(), image.max()
        raise UserError(f"{flag}: expected images of bytes or from 0 to 1, got values from {low:g} to {high:g}")


def _try(task: Task, what: str, run: Callable[[nn.Module, Any], Any], size: int | None = None) -> None:
    """Runs the network on one training example, at another size if one is given."""
    data = task.data
    net = build_space(task.space, data, task.objective.outputs).to(data.device)
    set_gates(net, Arch.sample(choices(net), np.random.default_rng(0)).gates())
    try:
        with torch.no_grad():
            run(net, data.prepared(data.train.example, size=size))
    except Exception as error:
        raise UserError(f"{what}: the network cannot take it: {told(error)}") from error
