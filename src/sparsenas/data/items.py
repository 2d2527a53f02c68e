"""From the items of any data object to trees of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils import _pytree as pytree

from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree, map_tensors

TARGETS = ("label", "labels", "target", "targets", "y")
"""Keys of a dictionary that name its target."""
SHOWN_AS_THEY_ARE = ("L", "RGB", "I", "F", "I;16")
"""Modes of pictures that become tensors as they are; others are made RGB first."""
UNSIGNED = (np.uint16, np.uint32, np.uint64)


@runtime_checkable
class Array(Protocol):
    """What numpy can read: its own arrays, tables of pandas, arrays of other libraries."""

    def __array__(self) -> Any:
        """The numpy array."""
        ...


def is_array(value: object) -> bool:
    """Whether a value is one tensor or array, or a list of numbers."""
    return isinstance(value, Tensor | Array) or (isinstance(value, list) and is_numbers(value))


def is_numbers(value: object) -> bool:
    """Whether a value is a number or a list of numbers, nested in any way; only first elements are looked at."""
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, int | float | np.generic)


def pair(item: Any, target: str | None = None) -> tuple[Any, Any]:
    """Input and target of an item: two things, or a dictionary in which one key names the target.

    A dictionary with one other key has that key's value as its input. Raises ``UserError``.
    """
    if isinstance(item, Mapping):
        named = [name for name in TARGETS if name in item] if target is None else [target]
        if len(named) != 1:
            raise UserError(f"expected one target, a key of {', '.join(TARGETS)}, got keys {', '.join(map(str, item))}")
        inputs = {str(name): value for name, value in item.items() if name != named[0]}
        return next(iter(inputs.values())) if len(inputs) == 1 else inputs, item[named[0]]
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    got = f"a {type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
    raise UserError(f"expected (input, target), several inputs in a tuple or dictionary of their own, got {got}")


def as_tensors(value: Any) -> Tree:
    """A value as a tree of tensors.

    Floating-point numbers become floats of 32 bits, pictures (channels, height, width) of uint8.

    Raises ``UserError`` for text and other things that are no numbers.
    """
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, Image.Image):
        pixels = np.array(value if value.mode in SHOWN_AS_THEY_ARE else value.convert("RGB"))
        return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())
    if isinstance(value, Mapping):
        return {str(name): as_tensors(part) for name, part in value.items()}
    if isinstance(value, tuple) or (isinstance(value, list) and not is_numbers(value)):
        return type(value)(map(as_tensors, value)) if type(value) in (tuple, list) else tuple(map(as_tensors, value))
    return _from_numpy(np.asarray(value))


def _from_numpy(array: Any) -> Tensor:
    if array.dtype.kind not in "fiubc":
        what = "text" if array.dtype.kind in "USO" and isinstance(array.flat[0], str | bytes) else f"{array.dtype}"
        raise UserError(f"expected numbers, got {what}: {str(array.flat[0])[:40]!r}")
    if array.dtype in UNSIGNED:
        array = array.astype(np.int64)
    array = array.astype(np.float32) if array.dtype.kind == "f" else array
    return torch.as_tensor(array if array.flags.writeable else array.copy())


def as_targets(value: Any) -> Tree:
    """The targets of a batch as a tree of tensors: whole numbers as int64, but maps of uint8 as they are."""

    def widened(leaf: Tensor) -> Tensor:
        whole = not leaf.is_floating_point() and not leaf.is_complex()
        return leaf.long() if whole and not (leaf.dtype == torch.uint8 and leaf.dim() > 1) else leaf

    return map_tensors(widened, as_tensors(value))


def stacked(trees: Sequence[Tree]) -> Tree:
    """Examples of the same form as one batch. Raises ``UserError`` where their forms or shapes differ."""
    flat = [pytree.tree_flatten(tree) for tree in trees]
    first, form = flat[0]
    for number, (leaves, other) in enumerate(flat):
        shapes = [tuple(leaf.shape) for leaf in leaves]
        if other != form or shapes != (expected := [tuple(leaf.shape) for leaf in first]):
            expected = [tuple(leaf.shape) for leaf in first]
            told = [str(one[0]) if len(one) == 1 else str(one) for one in (expected, shapes)]
            raise UserError(f"expected examples of one shape, got {told[0]} and, {number} later, {told[1]}")
    columns = zip(*(leaves for leaves, _ in flat), strict=True)
    return pytree.tree_unflatten([torch.stack(column) for column in columns], form)


def stacked_pairs(pairs: Iterable[tuple[Any, Any]]) -> tuple[Tree, Tree]:
    """The inputs and the targets of examples, each as one batch."""
    inputs, targets = zip(*((as_tensors(x), as_tensors(y)) for x, y in pairs), strict=True)
    return stacked(inputs), as_targets(stacked(targets))
