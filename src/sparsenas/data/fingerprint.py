"""The data set in numbers and sample images, and a checksum that shows whether it has changed."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sparsenas.data.dataset import Data

MOST_SAMPLES = 20
LARGEST = 96
"""Largest side of a sample image."""


CHANGES = {
    "labels_sha256": "the labels are others (checksum differs)",
    "val_images": "other images are in the validation split",
}


def summary(data: Data) -> dict[str, Any]:
    """For ``data.json``: classes, shape, number of images per part and class, and a sample of the first classes."""
    parts = {"train": data.train, "val": data.val, "test": data.test}
    count = len(data.classes)
    return {
        "classes": list(data.classes),
        "shape": list(data.shape),
        "parts": {name: torch.bincount(part.labels.cpu(), minlength=count).tolist() for name, part in parts.items()},
        "samples": samples(data),
    }


def split(data: Data) -> dict[str, Any]:
    """For ``split.json``: images per part, numbers of the validation images, checksum of all labels in order.

    It shows whether images were added or removed, but not whether the content of an image has changed.
    """
    parts = {"train": data.train, "val": data.val, "test": data.test}
    labels = np.concatenate([part.labels.cpu().numpy() for part in parts.values()])
    return {
        **{name: len(part) for name, part in parts.items()},
        "labels_sha256": hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(),
        "val_images": None if data.val_rows is None else data.val_rows.tolist(),
    }


def changed(saved: Mapping[str, Any], data: Data) -> str:
    """The first difference from a record made by ``split``, in words; empty when there is none."""
    now = split(data)
    for name, value in saved.items():
        if value != now.get(name):
            if isinstance(value, int):
                return f"expected {value} {name} images, got {now.get(name)}"
            return CHANGES.get(name, f"other {name}")
    return ""


def samples(data: Data) -> list[dict[str, Any]]:
    """The first training image of each class, as PNG in base64."""
    labels = data.train.labels.cpu()
    firsts = [int(rows[0]) for c in range(len(data.classes)) if len(rows := (labels == c).nonzero()[:, 0])]
    found = data.train.subset(torch.tensor(firsts[:MOST_SAMPLES], device=data.train.labels.device))
    batches = list(found.batches(MOST_SAMPLES))
    pairs = [pair for batch in batches for pair in zip(batch.labels.tolist(), batch.images.cpu(), strict=True)]
    return [{"label": label, "png": _png(image)} for label, image in pairs]


def _png(image: Tensor) -> str:
    """An image (channels, height, width) of uint8; unless it has three channels, the first one alone."""
    pixels = image.permute(1, 2, 0).numpy() if image.shape[0] == 3 else image[0].numpy()
    sample = Image.fromarray(pixels)
    sample.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    sample.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()
