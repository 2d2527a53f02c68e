"""From image files to a ``Data`` object: the settings that folders and tables of images share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from sparsenas.data.dataset import Data, Examples
from sparsenas.data.encoded import EncodedImages, OnBad, Source, decode_all
from sparsenas.data.transforms import MEAN, STD, random_crop
from sparsenas.errors import UserError

STORED = 8 / 7
"""Side of a decoded image as a multiple of the network's input: 256 by 224, as is customary."""


@dataclass(frozen=True)
class ImageLoader:
    """Loads images as the flags say: random crops in training, centre crops otherwise."""

    size: int
    """Side of the network's input."""
    smallest_crop: float
    """Smallest area of a random crop, as a share of the image."""
    jitter: float
    """Strength of the colour jitter."""
    memory: float
    """MiB of decoded images up to which all are kept in memory."""
    workers: int
    """Processes that decode."""
    on_bad: OnBad

    def __post_init__(self) -> None:
        for flag, least in (("size", 1), ("workers", 0), ("jitter", 0), ("memory", 0)):
            if not (value := self.__dict__[flag]) >= least:
                raise UserError(f"--data.{flag}: expected >= {least}, got {value}")
        if not 0 < self.smallest_crop <= 1:
            raise UserError(f"--data.smallest_crop: expected 0 < smallest_crop <= 1, got {self.smallest_crop}")

    def encoded(self, source: Source, labels: Tensor) -> EncodedImages:
        """All images of a source."""
        side = round(self.size * STORED)
        return EncodedImages(source, labels, torch.arange(len(labels)), side, self.workers, self.on_bad)

    def data(self, classes: Sequence[str], parts: Sequence[EncodedImages]) -> Data:
        """The data of three parts: training, validation and test images."""
        train, val, test = self._loaded(parts)
        augment, rows = random_crop(self.size, self.smallest_crop, self.jitter), parts[1].rows
        return Data(tuple(classes), train, val, test, MEAN, STD, augment, crop=self.size, val_rows=rows)

    def _loaded(self, parts: Sequence[EncodedImages]) -> Sequence[Examples]:
        """All parts in memory, or all encoded: so they can be joined."""
        size = sum(len(part) * prod(part.shape) for part in parts)
        return [decode_all(part) for part in parts] if size <= self.memory * 2**20 else parts
