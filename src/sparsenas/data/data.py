"""The one data object that training, scoring and evaluation use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.errors import UserError


@dataclass(frozen=True)
class Split:
    """Images (count, channels, height, width) as uint8 and labels (count) as int64, on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Split:
        """The images at ``indices``."""
        return Split(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> Split:
        """The same images on a device."""
        return Split(self.images.to(device), self.labels.to(device))

    def join(self, other: Split) -> Split:
        """These images and then the others."""
        return Split(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))

    def batches(self, size: int) -> Iterator[Split]:
        """The images in order, in batches; the last may be smaller."""
        for start in range(0, len(self), size):
            yield Split(self.images[start : start + size], self.labels[start : start + size])

    def shuffled(self, size: int, seed: int) -> Iterator[Split]:
        """The images in an order that ``seed`` decides, in full batches; the rest is left out of this epoch."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).to(self.labels.device)
        size = min(size, len(self))
        for start in range(0, len(self) - size + 1, size):
            yield self.take(order[start : start + size])


@dataclass(frozen=True)
class Data:
    """Images of one classification task, split for search: selection sees ``train`` and ``held_out`` only."""

    classes: tuple[str, ...]
    train: Split
    held_out: Split
    test: Split
    mean: tuple[float, ...]
    """Mean of each channel, of pixels within 0..1."""
    std: tuple[float, ...]
    """Standard deviation of each channel."""
    augment: nn.Module | None = None
    """Random augmentation of a float batch within 0..1, for training."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return int(channels), int(height), int(width)

    def to(self, device: torch.device) -> Data:
        """All splits on a device."""
        return replace(self, train=self.train.to(device), held_out=self.held_out.to(device), test=self.test.to(device))

    def inputs(self, images: Tensor, augment: bool = False, size: int | None = None) -> Tensor:
        """What the network is given: floats, augmented and resized if asked, normalised, channels last in memory."""
        x = images.float() / 255
        if augment and self.augment is not None:
            x = self.augment(x)
        if size is not None and x.shape[-2:] != (size, size):
            x = nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=x.device).view(-1, 1, 1) for v in (self.mean, self.std))
        return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def stratified(labels: np.ndarray[tuple[int], np.dtype[np.int64]], share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Splits indices in two with equal class shares; the second part has ``share`` of them.

    Raises ``UserError`` when a part would not have all classes.
    """
    from sklearn.model_selection import train_test_split

    indices = np.arange(len(labels))
    try:
        first, second = train_test_split(indices, test_size=float(share), stratify=labels, random_state=seed)
    except ValueError as error:
        raise UserError(f"--data.held_out: expected a share that leaves every class in both parts: {error}") from error
    return torch.as_tensor(np.sort(first)), torch.as_tensor(np.sort(second))
