"""CIFAR-10: 60 000 photographs of 32x32 pixels in ten classes, read from files on this machine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sparsenas.data.data import Data, Split, stratified
from sparsenas.errors import UserError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
Pixels = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]


def cifar10(root: Path, seed: int = 0, held_out: float = 0.1) -> Data:
    """Loads CIFAR-10: the official test images for testing, the others split into train and held-out.

    Training images are shifted by up to 4 pixels and mirrored.

    Args:
        root: the folder with train-*.parquet and test-*.parquet (columns img and label, images as PNG).
        seed: decides the held-out split.
        held_out: share of the training images that is held out, with equal class shares.
    """
    from kornia.augmentation import RandomCrop, RandomHorizontalFlip

    everything, test = _read(Path(root), "train"), _read(Path(root), "test")
    train, held = stratified(everything.labels.numpy(), held_out, seed=seed)
    shown = everything.take(train)
    return Data(
        classes=CLASSES,
        train=shown,
        held_out=everything.take(held),
        test=test,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        augment=nn.Sequential(RandomCrop((SIDE, SIDE), padding=4), RandomHorizontalFlip()),
    )


def _read(root: Path, part: str) -> Split:
    """All images of the files of one part, in their order. Raises ``UserError``."""
    paths = sorted(root.glob(f"{part}-*.parquet"))
    if not paths:
        raise UserError(f"--data.root {root}: expected a folder with {part}-*.parquet, found none")
    images, labels = zip(*(row for path in paths for row in _rows(path)), strict=True)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return Split(pixels, torch.tensor(labels))


def _rows(path: Path) -> Iterator[tuple[Pixels, int]]:
    """Pixels (height, width, channels) and label of every row. Raises ``UserError``, which names the row."""
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: parquet needs more packages: pip install 'sparsenas[images]'") from error
    try:
        table = parquet.read_table(path, columns=["img", "label"]).to_pydict()
    except (ArrowException, OSError) as error:
        raise UserError(f"{path}: expected a parquet file with columns img and label, got: {error}") from error
    for row, (picture, label) in enumerate(zip(table["img"], table["label"], strict=True), 1):
        try:
            yield _pixels(picture["bytes"]), _checked(label)
        except (ValueError, TypeError, OSError) as error:
            raise UserError(f"{path}, row {row}: {error}") from error


def _pixels(file: bytes) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(file)).convert("RGB")
    except UnidentifiedImageError as error:
        raise ValueError("expected an image, got something else") from error
    if image.size != (SIDE, SIDE):
        raise ValueError(f"expected {SIDE}x{SIDE} pixels, got {image.width}x{image.height}")
    return np.asarray(image)


def _checked(label: int) -> int:
    if label not in range(len(CLASSES)):
        raise ValueError(f"expected a label within 0..{len(CLASSES) - 1}, got {label}")
    return label
