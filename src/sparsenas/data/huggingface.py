"""Data sets of Hugging Face's ``datasets``."""

from __future__ import annotations

import sys
from typing import Any

import torch

from sparsenas.data.dataset import Examples, Split
from sparsenas.data.items import TARGETS, pair, stacked_pairs
from sparsenas.data.lazy import LazyExamples
from sparsenas.errors import UserError
from sparsenas.nn.tree import tensors

MEMORY = 2**30
"""Bytes up to which all examples are kept in memory."""


def is_huggingface(value: object) -> bool:
    """Whether a value is a data set, or a streamed one, of the package ``datasets``, if that is imported at all."""
    package: Any = sys.modules.get("datasets")
    return package is not None and isinstance(value, package.Dataset | package.IterableDataset)


def rows(dataset: Any) -> tuple[Examples, tuple[str, ...]]:
    """The examples of a data set, as ``set_format`` or ``set_transform`` gives them, and the names of the classes.

    In memory where they fit and no transform of the user's gives them. Raises ``UserError``.
    """
    target = _target(dataset)
    names = tuple(getattr((dataset.features or {}).get(target), "names", None) or ())
    if not isinstance(dataset, sys.modules["datasets"].Dataset):
        return Split(*stacked_pairs(pair(item, target) for item in dataset)), names
    examples = LazyExamples(dataset, torch.arange(len(dataset)), target=target)
    if dataset.format["type"] == "custom" or not len(dataset):
        return examples, names
    bytes_ = sum(leaf.nbytes for leaf in tensors(examples.example)) * len(dataset)
    return (examples.in_memory() if bytes_ <= MEMORY else examples), names


def _target(dataset: Any) -> str | None:
    """The column of the targets: of the usual names, else the only one of class labels; ``None`` = in every item."""
    features = dataset.features
    if features is None:
        return None
    columns = list(features)
    if isinstance(dataset, sys.modules["datasets"].Dataset):
        if dataset.format["type"] == "custom":
            return None
        columns = dataset.format["columns"]
    usual = [name for name in columns if name in TARGETS]
    labels = [name for name in columns if type(features[name]).__name__ == "ClassLabel"]
    for found in (usual, labels):
        if len(found) == 1:
            return str(found[0])
    raise UserError(
        f"expected one column of targets, named {', '.join(TARGETS)} or of class labels, got columns "
        f"{', '.join(columns)}; rename_column gives it such a name"
    )
