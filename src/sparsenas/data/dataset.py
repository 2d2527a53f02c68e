"""Labelled images, and the one ``Data`` object that training, scoring and evaluation use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self


ALL = slice(None)


class Images(Protocol):
    """Labelled images, in memory or encoded on disk; batches of them are ``Split``."""

    @property
    def labels(self) -> Tensor:
        """Labels (count) as int64, on the device that batches will be on."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        ...

    def __len__(self) -> int: ...

    def subset(self, indices: Tensor) -> Images:
        """The images at ``indices``."""
        ...

    def to(self, device: torch.device) -> Images:
        """The same images, for a device."""
        ...

    def join(self, other: Self) -> Self:
        """These images, then the others, which are kept in the same way."""
        ...

    def batches(self, size: int) -> Iterator[Split]:
        """The images in order, in batches; the last may be smaller."""
        ...

    def shuffled(self, size: int, seed: int, share: slice = ALL, skip: int = 0) -> Iterator[Split]:
        """The images in an order that ``seed`` decides, in full batches; an incomplete last batch is left out.

        Only ``share`` of each batch is returned, and the first ``skip`` batches are left out.
        """
        ...


def order_of(count: int, seed: int) -> Tensor:
    """The numbers below ``count`` in an order that ``seed`` decides."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Split:
    """Images (count, channels, height, width) as uint8 and labels (count) as int64, in the memory of one device."""

    images: Tensor
    labels: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.images.shape[1:]
        return int(channels), int(height), int(width)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> Split:
        """The images at ``indices``."""
        return Split(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> Split:
        """The same images on a device."""
        return Split(self.images.to(device), self.labels.to(device))

    def join(self, other: Split) -> Split:
        """These images, then the others."""
        return Split(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))

    def batches(self, size: int) -> Iterator[Split]:
        """The images in order, in batches; the last may be smaller."""
        for start in range(0, len(self), size):
            yield Split(self.images[start : start + size], self.labels[start : start + size])

    def shuffled(self, size: int, seed: int, share: slice = ALL, skip: int = 0) -> Iterator[Split]:
        """The images in an order that ``seed`` decides, in full batches; an incomplete last batch is left out.

        Only ``share`` of each batch is returned, and the first ``skip`` batches are left out.
        """
        order = order_of(len(self), seed).to(self.labels.device)
        size = min(size, len(self))
        for start in range(skip * size, len(self) - size + 1, size):
            yield self.subset(order[start : start + size][share])


@dataclass(frozen=True)
class Data:
    """The images of one classification task. A search sees the splits ``train`` and ``val`` only."""

    classes: tuple[str, ...]
    train: Images
    val: Images
    test: Images
    mean: tuple[float, ...]
    """Mean of each channel, of pixels within 0..1."""
    std: tuple[float, ...]
    """Standard deviation of each channel."""
    augment: nn.Module | None = None
    """Random augmentation of a float batch within 0..1, for training; ``None`` = none."""
    crop: int | None = None
    """Side of the centre crop where images are not augmented; ``None`` = the whole image."""
    val_rows: Tensor | None = None
    """Numbers of the validation images among those read for training; for the record."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's input."""
        channels, height, width = self.train.shape
        return (channels, height, width) if self.crop is None else (channels, self.crop, self.crop)

    @property
    def train_val(self) -> Images:
        """All images but the test images, to train on once the architecture is fixed."""
        return self.train.join(self.val)

    def to(self, device: torch.device) -> Data:
        """All splits on a device."""
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))

    def inputs(self, images: Tensor, augment: bool = False, size: int | None = None) -> Tensor:
        """The network's input: normalised floats, channels last in memory, augmented and resized if asked for."""
        x = images.float() / 255
        if augment and self.augment is not None:
            x = self.augment(x)
        elif self.crop is not None:
            x = _centre_crop(x, self.crop)
        if size is not None and x.shape[-2:] != (size, size):
            x = nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
        # Filled on the device: copying numbers to it would wait for it in every step.
        mean, std = (torch.stack([x.new_full((1, 1), one) for one in of]) for of in (self.mean, self.std))
        return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def _centre_crop(x: Tensor, side: int) -> Tensor:
    """The centre crop of a batch."""
    top, left = (x.shape[2] - side) // 2, (x.shape[3] - side) // 2
    return x[:, :, top : top + side, left : left + side]
