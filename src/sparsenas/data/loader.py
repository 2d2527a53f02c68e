"""Encoded pictures, decoded all at once into memory or again and again by worker processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sparsenas.data.dataset import ALL, Images, Split, order_of
from sparsenas.data.decode import BadPicture, Pixels, decode
from sparsenas.errors import UserError

OnBad = Literal["refuse", "skip"]
BLOCK = 256
WINDOW = 8
"""Shelves whose pictures are shuffled together: the more, the better mixed, and the more is in memory."""
NAMED = 5
"""Bad pictures named one by one; more are counted."""


class Source(Protocol):
    """Encoded pictures by number."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What to call a picture in a message."""
        ...

    def read(self, index: int) -> bytes:
        """The file of a picture."""
        ...

    def row_groups(self, rows: Tensor) -> Tensor | None:
        """A number for each picture, the same for those that are read at once; ``None`` where each is read alone."""
        ...


@dataclass(frozen=True)
class ConcatSource:
    """The pictures of one source and then those of another."""

    first: Source
    second: Source

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def name(self, index: int) -> str:
        """As the picture's own source calls it."""
        return self.first.name(index) if index < len(self.first) else self.second.name(index - len(self.first))

    def read(self, index: int) -> bytes:
        """The file, from the picture's own source."""
        return self.first.read(index) if index < len(self.first) else self.second.read(index - len(self.first))

    def row_groups(self, rows: Tensor) -> Tensor | None:
        """Those of the pictures' own sources."""
        count = len(self.first)
        first = self.first.row_groups(rows.clamp(max=count - 1))
        second = self.second.row_groups((rows - count).clamp(min=0))
        return None if first is None or second is None else torch.where(rows < count, first, first.max() + 1 + second)


class _Decoded(Dataset[tuple[int, "Pixels | str"]]):
    """Pixels of a picture, or why there are none: an exception would lose its type on the way from a worker."""

    def __init__(self, source: Source, side: int) -> None:
        self.source, self.side = source, side

    def __getitem__(self, index: int) -> tuple[int, Pixels | str]:
        try:
            return index, decode(self.source.read(index), self.side)
        except (BadPicture, OSError) as error:
            return index, str(error)


def _together(items: list[tuple[int, Pixels | str]]) -> tuple[list[int], Tensor, dict[int, str]]:
    """Numbers of the good pictures, their pixels (count, 3, height, width), and what is wrong with the bad ones."""
    good = [(index, item) for index, item in items if not isinstance(item, str)]
    bad = {index: item for index, item in items if isinstance(item, str)}
    if not good:
        return [], torch.empty(0, dtype=torch.uint8), bad
    return [index for index, _ in good], torch.from_numpy(np.stack([x for _, x in good])).permute(0, 3, 1, 2), bad


@dataclass(frozen=True)
class Pictures:
    """Pictures that stay encoded where they are; workers decode and resize them for every batch."""

    source: Source
    every: Tensor
    """The label of every picture of the source."""
    rows: Tensor
    """Which of them these are, in order."""
    side: int
    workers: int
    on_bad: OnBad
    device: torch.device = torch.device("cpu")

    @property
    def labels(self) -> Tensor:
        """Labels (count)."""
        return self.every[self.rows].to(self.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return 3, self.side, self.side

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, indices: Tensor) -> Pictures:
        """The pictures at ``indices``."""
        return replace(self, rows=self.rows[indices.cpu()])

    def to(self, device: torch.device) -> Pictures:
        """The same pictures; their batches will be on ``device``."""
        return replace(self, device=device)

    def join(self, other: Pictures) -> Pictures:
        """These pictures and then others."""
        if other.source is self.source:
            return replace(self, rows=torch.cat([self.rows, other.rows]))
        rows = torch.cat([self.rows, other.rows + len(self.source)])
        both = ConcatSource(self.source, other.source)
        return replace(self, source=both, every=torch.cat([self.every, other.every]), rows=rows)

    def batches(self, size: int) -> Iterator[Split]:
        """In order; the last batch may be smaller, and so is any with pictures that had to be skipped."""
        return self._load(self.rows, size)

    def shuffled(self, size: int, seed: int, share: slice = ALL, skip: int = 0) -> Iterator[Split]:
        """In an order that ``seed`` decides, in full batches but for pictures that had to be skipped.

        Of every batch only ``share`` is decoded and shown, and of the first ``skip`` batches nothing.
        """
        size, row_groups = min(size, len(self)), self.source.row_groups(self.rows)
        order = order_of(len(self), seed) if row_groups is None else by_windows(row_groups, seed)
        rows = self.rows[order][: len(self) // size * size].view(-1, size)[skip:, share]
        return self._load(rows.flatten(), max(1, rows.shape[1]))

    def decoded(self, rows: Tensor, size: int) -> Iterator[tuple[list[int], Tensor, dict[int, str]]]:
        """Rows of the good pictures, their pixels, and what is wrong with the bad ones, batch by batch."""
        loader: DataLoader[tuple[int, Pixels | str]] = DataLoader(
            _Decoded(self.source, self.side),
            batch_sampler=[part.tolist() for part in rows.split(size)],
            num_workers=self.workers,
            collate_fn=_together,
            pin_memory=self.device.type == "cuda",
        )
        yield from loader

    def _load(self, rows: Tensor, size: int) -> Iterator[Split]:
        for good, pixels, bad in self.decoded(rows, size):
            for row, reason in bad.items():
                message = f"{self.source.name(row)}: {reason}"
                if self.on_bad == "refuse":
                    raise UserError(f"{message}; --data.on_bad skip leaves such files out")
                print(f"sparsenas: skipped {message}", file=sys.stderr)
            if good:
                yield Split(pixels.to(self.device, non_blocking=True), self.every[good].to(self.device))


def by_windows(row_groups: Tensor, seed: int) -> Tensor:
    """The numbers of pictures in an order that ``seed`` decides, a few row groups at a time."""
    generator = torch.Generator().manual_seed(seed)
    number = row_groups.unique(return_inverse=True)[1]
    window = torch.randperm(int(number.max()) + 1, generator=generator)[number] // WINDOW
    mixed = torch.randperm(len(row_groups), generator=generator)
    return mixed[window[mixed].argsort(stable=True)]


def in_memory(pictures: Pictures) -> Split:
    """Decodes everything now; bad pictures are named and counted, then refused or left out as ``on_bad`` says.

    Raises ``UserError``.
    """
    labels = pictures.labels.cpu()
    images = torch.empty(len(pictures), *pictures.shape, dtype=torch.uint8)
    good, bad, place = list[int](), list[str](), 0
    for found, pixels, reasons in pictures.decoded(pictures.rows, BLOCK):
        images[len(good) : len(good) + len(found)] = pixels if found else 0
        block = pictures.rows[place : place + BLOCK].tolist()
        good += [place + i for i, row in enumerate(block) if row not in reasons]
        bad += [f"{pictures.source.name(row)} ({reason})" for row, reason in reasons.items()]
        place += len(block)
    if bad:
        named = "; ".join(bad[:NAMED]) + (f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else "")
        message = f"{len(bad)} of {len(pictures)} pictures cannot be read: {named}"
        if pictures.on_bad == "refuse":
            raise UserError(f"{message}; --data.on_bad skip leaves them out")
        print(f"sparsenas: skipped: {message}", file=sys.stderr)
    return Split(images[: len(good)], labels[good])


def loaded(parts: Sequence[Pictures], memory: float) -> Sequence[Images]:
    """In memory if all parts together fit into ``memory`` MiB, else as they are: so that they can be joined."""
    size = sum(len(part) * prod(part.shape) for part in parts)
    return [in_memory(part) for part in parts] if size <= memory * 2**20 else parts
