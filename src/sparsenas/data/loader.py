"""From image files to a ``Data`` object: the settings that folders and tables of images share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sparsenas.data.dataset import Data, Examples
from sparsenas.data.decode import stored_size
from sparsenas.data.encoded import EncodedImages, OnBad, Source, decode_all
from sparsenas.data.transforms import MEAN, STD, random_crop, random_shift
from sparsenas.errors import UserError

STORED = 8 / 7
"""Side of a decoded image as a multiple of the network's input: 256 by 224, as is customary."""
BLOCK = 1000
SMALLEST_CROP = 0.25
"""Smallest area of a random crop, where nothing else is said."""
SAMPLE = 9
"""Images whose stored size is looked at."""
SIDE = 224
"""Height and width of the network's input, where nothing else is said."""
Size = int | tuple[int, int]
"""Height and width in pixels; one number is both."""


def sides(size: Size) -> tuple[int, int]:
    """Height and width. Raises ``UserError`` for less than a pixel."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise UserError(f"--data.size: expected >= 1, got {size if isinstance(size, int) else f'{height},{width}'}")
    return height, width


def resized(images: Tensor, size: Size) -> Tensor:
    """Images (count, channels, height, width) of uint8 at another size."""
    if images.shape[-2:] == sides(size):
        return images
    parts = [interpolate(part.float(), sides(size), mode="bilinear", antialias=True) for part in images.split(BLOCK)]
    return torch.cat([part.round().to(torch.uint8) for part in parts])


@dataclass(frozen=True)
class ImageLoader:
    """Loads images as the flags say: random crops in training, centre crops otherwise.

    Images that have the size of the network's input are used whole, and shifted in training, unless the flags say how
    much of them to crop.
    """

    size: Size
    """Height and width of the network's input."""
    smallest_crop: float | None
    """Smallest area of a random crop, as a share of the image; ``None`` = by the size of the images."""
    jitter: float
    """Strength of the colour jitter."""
    memory: float
    """MiB of decoded images up to which all are kept in memory."""
    workers: int
    """Processes that decode."""
    on_bad: OnBad
    sides: tuple[int, int] = field(init=False)
    """``size`` as two numbers."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sides", sides(self.size))
        for flag, least in (("workers", 0), ("jitter", 0), ("memory", 0)):
            if not (value := self.__dict__[flag]) >= least:
                raise UserError(f"--data.{flag}: expected >= {least}, got {value}")
        if self.smallest_crop is not None and not 0 < self.smallest_crop <= 1:
            raise UserError(f"--data.smallest_crop: expected 0 < smallest_crop <= 1, got {self.smallest_crop}")

    def encoded(self, source: Source, labels: Tensor) -> EncodedImages:
        """All images of a source."""
        height, width = (round(side * STORED) for side in self.sides)
        return EncodedImages(source, labels, torch.arange(len(labels)), (height, width), self.workers, self.on_bad)

    def data(self, classes: Sequence[str], parts: Sequence[EncodedImages], origins: tuple[str, str]) -> Data:
        """The data of three parts, training, validation and test images; ``origins`` are those of the last two."""
        rows, stored = parts[1].rows, _stored(parts[0])
        if self.smallest_crop is None and set(stored) == {self.sides}:
            parts = [replace(part, size=self.sides) for part in parts]
            augment = random_shift(self.sides, self.jitter)
        else:
            smallest = SMALLEST_CROP if self.smallest_crop is None else self.smallest_crop
            augment = random_crop(self.sides, smallest, self.jitter)
        train, val, test = self._loaded(parts)
        middle = stored[len(stored) // 2] if stored else None
        data = Data(tuple(classes), train, val, test, MEAN, STD, augment, self.sides, val_rows=rows, stored=middle)
        return replace(data, origins=origins)

    def _loaded(self, parts: Sequence[EncodedImages]) -> Sequence[Examples]:
        """All parts in memory, or all encoded: so they can be joined."""
        size = sum(len(part) * prod(part.shape) for part in parts)
        return decode_all(parts) if size <= self.memory * 2**20 else parts


def _stored(images: EncodedImages) -> list[tuple[int, int]]:
    """Height and width of the first images as they are stored, smallest area first; none of unreadable ones."""
    found = [stored_size(images.source.read(row)) for row in images.rows[:SAMPLE].tolist()]
    return sorted((size for size in found if size is not None), key=prod)
