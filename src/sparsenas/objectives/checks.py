"""Checks that objectives share."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree


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


def _form(tree: Tree) -> str:
    return f"a {type(tree).__name__} of {len(tree)}" if isinstance(tree, tuple | list | dict) else type(tree).__name__
