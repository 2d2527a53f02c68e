"""Encoded images: decoded batch by batch in worker processes, or all at once into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sparsenas.data.dataset import ALL, Split, order_of
from sparsenas.data.decode import Pixels, UnreadableImage, decode
from sparsenas.data.telling import tell
from sparsenas.data.workers import Begin
from sparsenas.errors import UserError

OnBad = Literal["refuse", "skip"]
BLOCK = 256
WINDOW = 8
"""Row groups whose images are shuffled together. More are better mixed and need more memory."""
NAMED = 5
"""Unreadable images that a message names; the rest are counted."""


class Source(Protocol):
    """Encoded images by number."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """The path of an image, or another name for messages."""
        ...

    def read(self, index: int) -> bytes:
        """The encoded image."""
        ...

    def row_groups(self, rows: Tensor) -> Tensor | None:
        """The row group of each image, where images are read in groups; ``None`` where each is read alone."""
        ...


@dataclass(frozen=True)
class ConcatSource:
    """The images of one source, then those of another."""

    first: Source
    second: Source

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def name(self, index: int) -> str:
        """The name in the image's own source."""
        return self.first.name(index) if index < len(self.first) else self.second.name(index - len(self.first))

    def read(self, index: int) -> bytes:
        """The encoded image, from its own source."""
        return self.first.read(index) if index < len(self.first) else self.second.read(index - len(self.first))

    def row_groups(self, rows: Tensor) -> Tensor | None:
        """The row groups of both sources; those of the second are numbered after those of the first."""
        count = len(self.first)
        first = self.first.row_groups(rows.clamp(max=count - 1))
        second = self.second.row_groups((rows - count).clamp(min=0))
        return None if first is None or second is None else torch.where(rows < count, first, first.max() + 1 + second)


class _Decoded(Dataset[tuple[int, "Pixels | str"]]):
    """Pixels of an image, or the reason why there are none: a worker's exceptions would lose their type."""

    def __init__(self, source: Source, size: tuple[int, int]) -> None:
        self.source, self.size = source, size

    def __getitem__(self, index: int) -> tuple[int, Pixels | str]:
        try:
            return index, decode(self.source.read(index), self.size)
        except (UnreadableImage, OSError) as error:
            return index, str(error)


def _collate(items: list[tuple[int, Pixels | str]]) -> tuple[list[int], Tensor, dict[int, str]]:
    """Numbers of the readable images, their pixels (count, 3, height, width), and why the others are unreadable."""
    good = [(index, item) for index, item in items if not isinstance(item, str)]
    bad = {index: item for index, item in items if isinstance(item, str)}
    if not good:
        return [], torch.empty(0, dtype=torch.uint8), bad
    return [index for index, _ in good], torch.from_numpy(np.stack([x for _, x in good])).permute(0, 3, 1, 2), bad


@dataclass(frozen=True)
class EncodedImages:
    """Images that stay encoded where they are; workers decode and resize them for every batch."""

    source: Source
    source_labels: Tensor
    """The labels of all images of the source."""
    rows: Tensor
    """The numbers of these images in the source, in order."""
    size: tuple[int, int]
    """Height and width to which they are decoded."""
    workers: int
    on_bad: OnBad
    device: torch.device = torch.device("cpu")

    @property
    def targets(self) -> Tensor:
        """Labels (count)."""
        return self.source_labels[self.rows].to(self.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return 3, *self.size

    @property
    def example(self) -> Tensor:
        """A black image, as a batch of one."""
        return torch.zeros(1, *self.shape, dtype=torch.uint8, device=self.device)

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, indices: Tensor) -> EncodedImages:
        """The images at ``indices``."""
        return replace(self, rows=self.rows[indices.cpu()])

    def to(self, device: torch.device) -> EncodedImages:
        """The same images; their batches will be on ``device``."""
        return replace(self, device=device)

    def join(self, other: EncodedImages) -> EncodedImages:
        """These images, then others."""
        if other.source is self.source:
            return replace(self, rows=torch.cat([self.rows, other.rows]))
        rows = torch.cat([self.rows, other.rows + len(self.source)])
        both = ConcatSource(self.source, other.source)
        return replace(self, source=both, source_labels=torch.cat([self.source_labels, other.source_labels]), rows=rows)

    def batches(self, size: int) -> Iterator[Split]:
        """In order; the last batch may be smaller, and so may a batch with unreadable images."""
        return self._load(self.rows, size)

    def shuffled(self, size: int, seed: int, share: slice = ALL, skip: int = 0) -> Iterator[Split]:
        """In an order that ``seed`` decides, in full batches but for unreadable images.

        Of every batch only ``share`` is decoded, and of the first ``skip`` batches nothing.
        """
        size, row_groups = min(size, len(self)), self.source.row_groups(self.rows)
        order = order_of(len(self), seed) if row_groups is None else shuffled_by_windows(row_groups, seed)
        rows = self.rows[order][: len(self) // size * size].view(-1, size)[skip:, share]
        return self._load(rows.flatten(), max(1, rows.shape[1]))

    def decoded(self, rows: Tensor, size: int) -> Iterator[tuple[list[int], Tensor, dict[int, str]]]:
        """Numbers of the readable images, their pixels, and why the others are unreadable, batch by batch."""
        loader: DataLoader[tuple[int, Pixels | str]] = DataLoader(
            _Decoded(self.source, self.size),
            batch_sampler=[part.tolist() for part in rows.split(size)],
            num_workers=self.workers,
            collate_fn=_collate,
            worker_init_fn=Begin(),
            pin_memory=self.device.type == "cuda",
        )
        yield from loader

    def _load(self, rows: Tensor, size: int) -> Iterator[Split]:
        for good, pixels, bad in self.decoded(rows, size):
            for row, reason in bad.items():
                message = f"{self.source.name(row)}: {reason}"
                if self.on_bad == "refuse":
                    raise UserError(f"{message}; --data.on_bad skip leaves such files out")
                tell(f"skipped {message}")
            if good:
                yield Split(pixels.to(self.device, non_blocking=True), self.source_labels[good].to(self.device))


def shuffled_by_windows(row_groups: Tensor, seed: int) -> Tensor:
    """The numbers of images in an order that ``seed`` decides, a few row groups at a time."""
    generator = torch.Generator().manual_seed(seed)
    number = row_groups.unique(return_inverse=True)[1]
    window = torch.randperm(int(number.max()) + 1, generator=generator)[number] // WINDOW
    mixed = torch.randperm(len(row_groups), generator=generator)
    return mixed[window[mixed].argsort(stable=True)]


def decode_all(parts: Sequence[EncodedImages]) -> list[Split]:
    """Decodes all images now. Raises ``UserError`` for unreadable ones of any part, unless they are to be skipped."""
    bad: list[str] = []
    splits = [_decode(part, bad) for part in parts]
    if bad:
        named = "; ".join(bad[:NAMED]) + (f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else "")
        message = f"{len(bad)} of {sum(map(len, parts))} images are unreadable: {named}"
        if any(part.on_bad == "refuse" for part in parts):
            raise UserError(f"{message}; --data.on_bad skip leaves them out")
        tell(f"skipped: {message}")
    return splits


def _decode(images: EncodedImages, bad: list[str]) -> Split:
    """Decodes the readable images; the names of the others go to ``bad``."""
    labels = images.targets.cpu()
    pixels = torch.empty(len(images), *images.shape, dtype=torch.uint8)
    good, place = list[int](), 0
    for found, decoded, reasons in images.decoded(images.rows, BLOCK):
        pixels[len(good) : len(good) + len(found)] = decoded if found else 0
        block = images.rows[place : place + BLOCK].tolist()
        good += [place + i for i, row in enumerate(block) if row not in reasons]
        bad += [f"{images.source.name(row)} ({reason})" for row, reason in reasons.items()]
        place += len(block)
    return Split(pixels[: len(good)], labels[good])
