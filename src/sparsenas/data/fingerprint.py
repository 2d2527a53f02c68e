"""The data set in numbers and sample images, and a checksum that shows whether it has changed."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from sparsenas.data.dataset import Data, Examples
from sparsenas.data.preprocessing import preparation
from sparsenas.nn.tree import Tree, shapes, tensors

MOST_SAMPLES = 20
LARGEST = 96
"""Largest side of a sample image."""


CHANGES = {
    "targets_sha256": "the targets are others (checksum differs)",
    "val_rows": "other examples are in the validation split",
}


def summary(data: Data) -> dict[str, Any]:
    """For ``data.json``: classes, shape, number of examples per part and class, and sample images of some classes."""
    return {
        "classes": list(data.classes),
        "shape": shapes(data.example),
        "targets": None if data.train.targets is None else shapes(data.train.targets),
        "parts": {name: _counts(part, len(data.classes)) for name, part in _parts(data).items()},
        "prepared": preparation(data),
        "samples": samples(data),
    }


def in_words(data: Data) -> str:
    """The classes and the number of examples of each part, with its origin where that is known, in one line.

    It names the augmentation; where there is none, ``augment`` of ``--search`` and ``--retrain`` cannot turn one on.
    """
    val, test = (f" ({origin})" if origin else "" for origin in data.origins)
    counts = f"{len(data.train):,} training, {len(data.val):,} validation{val}, {len(data.test):,} test{test} examples"
    augmented = f"augmented by {_names(data.augment)}" if data.augment else "not augmented"
    return (f"{len(data.classes)} classes; " if data.classes else "") + f"{counts}; training examples are {augmented}"


def _names(augment: Callable[..., Any]) -> str:
    """The steps of an augmentation, as RandomCrop."""
    steps = augment if isinstance(augment, nn.Sequential) else [augment]
    return ", ".join(getattr(step, "__name__", type(step).__name__) for step in steps)


def split(data: Data) -> dict[str, Any]:
    """For ``split.json``: examples per part, numbers of the validation examples, checksum of all targets in order.

    It shows whether examples were added or removed, but not whether the content of an input has changed.
    """
    parts = _parts(data)
    return {
        **{name: len(part) for name, part in parts.items()},
        "targets_sha256": _checksum([part.targets for part in parts.values()]),
        "val_rows": None if data.val_rows is None else data.val_rows.tolist(),
    }


def changed(saved: Mapping[str, Any], data: Data) -> str:
    """The first difference from a record made by ``split``, in words; empty when there is none."""
    now = split(data)
    for name, value in saved.items():
        if value != now.get(name):
            if isinstance(value, int):
                return f"expected {value} {name} examples, got {now.get(name)}"
            return CHANGES.get(name, f"other {name}")
    return ""


def samples(data: Data) -> list[dict[str, Any]]:
    """The first training image of each class, as PNG in base64; none where the examples are no labelled images."""
    labels, stored = class_labels(data.train), data.train.example
    if labels is None or not isinstance(stored, Tensor) or stored.dim() != 4 or stored.dtype != torch.uint8:
        return []
    labels = labels.cpu()
    firsts = [int(rows[0]) for c in range(len(data.classes)) if len(rows := (labels == c).nonzero()[:, 0])]
    found = data.train.subset(torch.tensor(firsts[:MOST_SAMPLES], device=data.device))
    batches = list(found.batches(MOST_SAMPLES))
    pairs = [pair for batch in batches for pair in zip(batch.targets.tolist(), batch.inputs.cpu(), strict=True)]
    return [{"label": label, "png": _png(image)} for label, image in pairs]


def class_labels(examples: Examples) -> Tensor | None:
    """The labels (count), where every example has one and they are known without reading the examples."""
    targets = examples.targets
    one = isinstance(targets, Tensor) and targets.dim() == 1 and not targets.is_floating_point()
    return targets if one else None


def _parts(data: Data) -> dict[str, Examples]:
    return {"train": data.train, "val": data.val, "test": data.test}


def _counts(part: Examples, classes: int) -> list[int]:
    """The examples of each class; where targets are no classes, the one number of all examples."""
    labels = class_labels(part)
    if labels is None or not classes:
        return [len(part)]
    counts: list[int] = torch.bincount(labels.cpu(), minlength=classes).tolist()
    return counts


def _checksum(targets: list[Tree | None]) -> str | None:
    """The SHA-256 of all targets, whole numbers as little-endian 64-bit integers; ``None`` where some are unknown."""
    found = hashlib.sha256()
    for tree in targets:
        if tree is None:
            return None
        for leaf in tensors(tree):
            numbers = leaf.cpu().numpy()
            found.update(numbers.astype("<f8" if leaf.is_floating_point() else "<i8").tobytes())
    return found.hexdigest()


def _png(image: Tensor) -> str:
    """An image (channels, height, width) of uint8; unless it has three channels, the first one alone."""
    pixels = image.permute(1, 2, 0).numpy() if image.shape[0] == 3 else image[0].numpy()
    sample = Image.fromarray(pixels)
    sample.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    sample.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()
