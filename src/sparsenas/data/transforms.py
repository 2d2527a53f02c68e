"""Photographs as the network is shown them, and which of them serve for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsenas.data.dataset import Data, stratified
from sparsenas.data.loader import OnBad, Pictures, Source, loaded
from sparsenas.errors import UserError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's photographs, which serve for any."""
STORED = 8 / 7
"""Side of what is decoded by what the network sees: 256 by 224, as is the custom."""
SMALLEST_PART = 0.25
"""Of a picture's area, that a training image shows."""


@dataclass(frozen=True)
class Shown:
    """In training random parts of the pictures, mirrored and recoloured; else their middle squares."""

    size: int
    """Side of what the network sees."""
    jitter: float
    """How much colours vary."""
    memory: float
    """MiB of decoded pictures up to which they are kept in memory."""
    workers: int
    """Processes that decode."""
    on_bad: OnBad

    def __post_init__(self) -> None:
        if self.size < 1 or self.workers < 0 or self.jitter < 0:
            got = f"{self.size}, {self.workers} and {self.jitter}"
            raise UserError(f"--data: expected size >= 1, workers >= 0 and jitter >= 0, got {got}")

    def pictures(self, source: Source, labels: Tensor) -> Pictures:
        """All pictures of a source."""
        side = round(self.size * STORED)
        return Pictures(source, labels, torch.arange(len(labels)), side, self.workers, self.on_bad)

    def data(self, classes: Sequence[str], parts: Sequence[Pictures]) -> Data:
        """The data of three parts: train, held-out and test."""
        train, val, test = loaded(parts, self.memory)
        augment, rows = self.augmentation(), parts[1].rows
        return Data(tuple(classes), train, val, test, MEAN, STD, augment, crop=self.size, val_rows=rows)

    def augmentation(self) -> nn.Module:
        """For batches on any device."""
        from kornia.augmentation import RandomHorizontalFlip, RandomResizedCrop

        part = RandomResizedCrop((self.size, self.size), scale=(SMALLEST_PART, 1.0))
        return nn.Sequential(part, RandomHorizontalFlip(), *colours(self.jitter))


def colours(jitter: float) -> list[nn.Module]:
    """Random brightness, contrast and saturation, within so much of what they are; nothing for 0."""
    from kornia.augmentation import ColorJitter

    return [ColorJitter(jitter, jitter, jitter)] if jitter > 0 else []


def arranged(parts: Mapping[str, Pictures], val: float, test: float, seed: int) -> tuple[Pictures, Pictures, Pictures]:
    """Train, held-out and test pictures, out of ``train`` and perhaps ``val`` and ``test``.

    A single part beside train is for testing. What is missing is split off train: ``test`` of it for testing, always
    the same pictures, then ``val`` of the rest as ``seed`` decides.
    """
    train, held, tested = parts["train"], parts.get("val"), parts.get("test")
    if tested is None:
        held, tested = None, held
    if tested is None:
        rest, chosen = stratified(train.labels.numpy(), test, seed=0)
        train, tested = train.subset(rest), train.subset(chosen)
    if held is None:
        rest, chosen = stratified(train.labels.numpy(), val, seed=seed)
        train, held = train.subset(rest), train.subset(chosen)
    return train, held, tested
