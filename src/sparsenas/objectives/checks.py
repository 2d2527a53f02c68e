"""Checks that objectives share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree, tensors


def check_output(objective: str, output: Tree, expected: tuple[int, ...], meaning: str) -> None:
    """Raises ``UserError`` unless an output is one tensor of floats of the ``expected`` shape."""
    told = f"--objective {objective}: expected one output of shape ({meaning}) = {expected}, got "
    if not isinstance(output, Tensor):
        raise UserError(f"{told}{_form(output)}")
    if not output.is_floating_point():
        raise UserError(f"{told}a tensor of {output.dtype}")
    if tuple(output.shape) != expected:
        raise UserError(f"{told}{tuple(output.shape)}")


def check_class_numbers(objective: str, targets: Any, least_dims: int, classes: int, ignore: int | None = None) -> None:
    """Raises ``UserError`` unless targets are whole numbers from 0 to below ``classes``, or ``ignore``."""
    told = f"--objective {objective}: expected class numbers from 0 to {classes - 1} as targets"
    if not isinstance(targets, Tensor):
        raise UserError(f"{told}, got {_form(targets)}")
    if targets.is_floating_point() or targets.is_complex():
        told = f"--objective {objective}: expected class numbers as targets"
        raise UserError(f"{told}, got {targets.dtype}; --objective regression is for real numbers")
    if targets.dim() < least_dims:
        raise UserError(f"{told} for every pixel, got targets of shape {tuple(targets.shape)}")
    wrong = (targets < 0) | (targets >= classes)
    wrong = wrong if ignore is None else wrong & (targets != ignore)
    if bool(wrong.any()):
        raise UserError(f"{told}, got {int(targets[wrong][0])}")


def check_loss(loss: Any, output: Tree) -> None:
    """Raises ``UserError`` unless the loss of an output is one number that can be trained, as the output can."""
    told = "--objective: expected loss() to return one number with a gradient, a tensor of shape (), got "
    if not isinstance(loss, Tensor):
        raise UserError(f"{told}{_form(loss)}")
    if loss.dim() > 0:
        raise UserError(f"{told}one of shape {tuple(loss.shape)}; take the mean over the batch")
    if not loss.requires_grad and any(leaf.requires_grad for leaf in tensors(output)):
        raise UserError(f"{told}a tensor without gradient")


def check_mean(once: Tensor, twice: Tensor) -> None:
    """Raises ``UserError`` where the loss of a batch given twice is twice that of the batch: a sum is no mean."""
    if bool(torch.isclose(twice, 2 * once)) and not bool(torch.isclose(twice, once)):
        raise UserError("--objective: expected loss() to return the mean over a batch, got the sum")


def check_names(objective: str, named: Mapping[str, Any], metrics: Collection[str]) -> None:
    """Raises ``UserError`` where an objective names a metric that it does not have."""
    for field, names in named.items():
        if isinstance(names, str) or not isinstance(names, Collection):
            raise UserError(f"--objective: expected {field} of {objective} to be a set of metrics, got {names!r}")
        for name in names:
            if name not in metrics:
                known = ", ".join(metrics)
                raise UserError(
                    f"--objective: expected {field} of {objective} to name its metrics, {known}, got {name!r}"
                )


def check_metrics(metrics: Any, loss: str) -> None:
    """Raises ``UserError`` unless what ``metrics()`` returned are numbers by name, without the loss."""
    told = "--objective: expected metrics() to return numbers by name"
    if not isinstance(metrics, dict):
        raise UserError(f"{told}, got {_form(metrics)}")
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise UserError(f"{told}, got the name {name!r}")
        if name == loss:
            raise UserError(f"{told} besides {loss}, which is always there, got {loss}")
        try:
            float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{told}, got {value!r} as {name}") from error


def check_counts(once: Any, twice: Any) -> None:
    """Raises ``UserError`` unless ``counts()`` returned as many numbers in a row for a batch as for another one."""
    for counts in (once, twice):
        if not isinstance(counts, Tensor) or counts.dim() != 1 or len(counts) != len(once):
            got = f"one of shape {tuple(counts.shape)}" if isinstance(counts, Tensor) else _form(counts)
            told = "--objective: expected counts() to return a tensor of shape (numbers,), sums over the batch"
            raise UserError(f"{told}, got {got}")


def _form(tree: Tree) -> str:
    return f"a {type(tree).__name__} of {len(tree)}" if isinstance(tree, tuple | list | dict) else type(tree).__name__
