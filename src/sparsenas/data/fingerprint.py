"""What a data set is, in numbers and a few pictures: for ``data.json`` and the report."""

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
"""Side of a sample picture; larger ones are made smaller."""


def summary(data: Data) -> dict[str, Any]:
    """Classes, shape, images of each part and class, and a picture of each class (of the first twenty)."""
    parts = {"train": data.train, "val": data.val, "test": data.test}
    count = len(data.classes)
    return {
        "classes": list(data.classes),
        "shape": list(data.shape),
        "parts": {name: torch.bincount(part.labels.cpu(), minlength=count).tolist() for name, part in parts.items()},
        "samples": samples(data),
    }


def split(data: Data) -> dict[str, Any]:
    """Which images serve for what: how many, which are held out, and a checksum of all labels in their order.

    Images that were added or taken away show in it, others in the place of some do not.
    """
    parts = {"train": data.train, "val": data.val, "test": data.test}
    labels = np.concatenate([part.labels.cpu().numpy() for part in parts.values()])
    return {
        **{name: len(part) for name, part in parts.items()},
        "labels_sha256": hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(),
        "val_images": None if data.val_rows is None else data.val_rows.tolist(),
    }


def changed(saved: Mapping[str, Any], data: Data) -> str:
    """What is other than in a record made by ``split``, in words; nothing when all is the same."""
    now = split(data)
    for name, value in saved.items():
        if value != now.get(name):
            numbers = isinstance(value, int)
            return f"{value} {name} images then, {now.get(name)} now" if numbers else f"other {name} then than now"
    return ""


def samples(data: Data) -> list[dict[str, Any]]:
    """The first training picture of each class that has one, as PNG in base64."""
    labels = data.train.labels.cpu()
    firsts = [int(rows[0]) for c in range(len(data.classes)) if len(rows := (labels == c).nonzero()[:, 0])]
    found = data.train.subset(torch.tensor(firsts[:MOST_SAMPLES], device=data.train.labels.device))
    batches = list(found.batches(MOST_SAMPLES))
    pairs = [pair for batch in batches for pair in zip(batch.labels.tolist(), batch.images.cpu(), strict=True)]
    return [{"label": label, "png": _png(image)} for label, image in pairs]


def _png(image: Tensor) -> str:
    """An image (channels, height, width) of uint8; of other than one or three channels the first is shown."""
    pixels = image.permute(1, 2, 0).numpy() if image.shape[0] == 3 else image[0].numpy()
    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()
