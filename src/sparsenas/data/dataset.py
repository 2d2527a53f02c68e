"""Examples with their targets, and the one ``Data`` object that training, scoring and evaluation use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sparsenas.nn.tree import Tree, concatenated, count, device_of, map_tensors

if TYPE_CHECKING:
    from typing_extensions import Self


ALL = slice(None)


@runtime_checkable
class Examples(Protocol):
    """Inputs with their targets, in memory or read when they are needed; batches of them are ``Split``."""

    @property
    def targets(self) -> Tree | None:
        """The targets of all examples, where they are known without reading the examples; else ``None``."""
        ...

    @property
    def device(self) -> torch.device:
        """The device that batches will be on."""
        ...

    @property
    def example(self) -> Tree:
        """The input of one example as a batch of one, as it is stored; perhaps of other numbers."""
        ...

    def __len__(self) -> int: ...

    def subset(self, indices: Tensor) -> Examples:
        """The examples at ``indices``."""
        ...

    def to(self, device: torch.device) -> Examples:
        """The same examples, for a device."""
        ...

    def join(self, other: Self) -> Self:
        """These examples, then the others, which are kept in the same way."""
        ...

    def batches(self, size: int) -> Iterator[Split]:
        """The examples in order, in batches; the last may be smaller."""
        ...

    def shuffled(self, size: int, seed: int, share: slice = ALL, skip: int = 0) -> Iterator[Split]:
        """The examples in an order that ``seed`` decides, in full batches; an incomplete last batch is left out.

        Only ``share`` of each batch is returned, and the first ``skip`` batches are left out.
        """
        ...


def order_of(count: int, seed: int) -> Tensor:
    """The numbers below ``count`` in an order that ``seed`` decides."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Split:
    """Inputs and targets in the memory of one device: trees of tensors whose first dimension is the examples.

    Images are (count, channels, height, width), as uint8 or as floats; labels of classes are (count), as integers.
    """

    inputs: Tree
    targets: Tree

    @property
    def device(self) -> torch.device:
        """The device of the targets."""
        return device_of(self.targets)

    @property
    def example(self) -> Tree:
        """The input of the first example, as a batch of one."""
        return map_tensors(lambda leaf: leaf[:1], self.inputs)

    def __len__(self) -> int:
        return count(self.targets)

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Split:
        return Split(map_tensors(function, self.inputs), map_tensors(function, self.targets))

    def subset(self, indices: Tensor) -> Split:
        """The examples at ``indices``."""
        return self._mapped(lambda leaf: leaf[indices])

    def to(self, device: torch.device) -> Split:
        """The same examples on a device."""
        return self._mapped(lambda leaf: leaf.to(device))

    def join(self, other: Split) -> Split:
        """These examples, then the others."""
        return Split(concatenated([self.inputs, other.inputs]), concatenated([self.targets, other.targets]))

    def batches(self, size: int) -> Iterator[Split]:
        """The examples in order, in batches; the last may be smaller."""
        for start in range(0, len(self), size):
            yield self._mapped(lambda leaf, start=start: leaf[start : start + size])  # type: ignore[misc]

    def shuffled(self, size: int, seed: int, share: slice = ALL, skip: int = 0) -> Iterator[Split]:
        """The examples in an order that ``seed`` decides, in full batches; an incomplete last batch is left out.

        Only ``share`` of each batch is returned, and the first ``skip`` batches are left out.
        """
        order = order_of(len(self), seed).to(self.device)
        size = min(size, len(self))
        for start in range(skip * size, len(self) - size + 1, size):
            yield self.subset(order[start : start + size][share])


@dataclass(frozen=True)
class Data:
    """The examples of one task. A search sees the splits ``train`` and ``val`` only."""

    classes: tuple[str, ...]
    """Names of the classes; empty where targets are no classes."""
    train: Examples
    val: Examples
    test: Examples
    mean: tuple[float, ...] | None = None
    """Mean of each channel of an image, of pixels within 0..1; ``None`` = inputs are used as they are."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel."""
    augment: Callable[[Tree], Tree] | None = None
    """Random augmentation of a batch of inputs for training, images as floats within 0..1; ``None`` = none."""
    crop: tuple[int, int] | None = None
    """Height and width of the centre crop where images are not augmented; ``None`` = the whole image."""
    val_rows: Tensor | None = None
    """Numbers of the validation examples among those read for training; for the record."""
    stored: tuple[int, int] | None = None
    """Height and width of a typical training image before it was resized; ``None`` where nobody knows."""
    origins: tuple[str, str] = ("", "")
    """Where the validation and the test examples are from, in words; empty where nobody says."""
    channels_last: bool = True
    """Whether images lie in memory with their channels last, which is faster where a network can take it."""

    @cached_property
    def example(self) -> Tree:
        """The network's input for one example, as a batch of one."""
        return self.prepared(self.train.example)

    @property
    def shape(self) -> tuple[int, ...] | Tree:
        """The shape of the network's input without the batch, if it is one float tensor; else ``example``."""
        x = self.example
        return tuple(x.shape[1:]) if isinstance(x, Tensor) and x.dtype == torch.float32 else x

    @property
    def device(self) -> torch.device:
        """The device of the batches."""
        return self.train.device

    @property
    def train_val(self) -> Examples:
        """All examples but those of the test split, to train on once the architecture is fixed."""
        return self.train.join(self.val)

    def to(self, device: torch.device) -> Data:
        """All splits on a device."""
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))

    def prepared(self, inputs: Tree, augment: bool = False, size: int | None = None) -> Tree:
        """The network's input: augmented, resized and normalised, as far as asked for."""
        x = map_tensors(lambda leaf: leaf.float() / 255 if leaf.dtype == torch.uint8 else leaf, inputs)
        if augment and self.augment is not None:
            x = self.augment(x)
        elif self.crop is not None:
            x = _centre_crop(x, self.crop)
        if size is not None and min(x.shape[-2:]) != size:
            height, width = (round(side * size / min(x.shape[-2:])) for side in x.shape[-2:])
            x = nn.functional.interpolate(x, (height, width), mode="bilinear", antialias=True)
        return self.laid_out(self._normalized(x))

    def _normalized(self, x: Tree) -> Tree:
        if self.mean is None or self.std is None:
            return x
        # Filled on the device: copying numbers to it would wait for it in every step.
        mean, std = (torch.stack([x.new_full((1, 1), one) for one in of]) for of in (self.mean, self.std))
        return (x - mean) / std

    def laid_out(self, x: Tree) -> Tree:
        """Images with their channels last in memory, where the network can take it."""
        return map_tensors(lambda leaf: leaf.contiguous(memory_format=self._format(leaf)), x)

    def laid_out_weights(self, net: nn.Module) -> nn.Module:
        """The network with the weights of 2-d convolutions channels last in memory, where it can take it."""
        for parameter in net.parameters() if self.channels_last else ():
            if parameter.dim() == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)
        return net

    def _format(self, leaf: Tensor) -> torch.memory_format:
        return torch.channels_last if self.channels_last and leaf.dim() == 4 else torch.contiguous_format


def _centre_crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The centre crop of a batch."""
    top, left = ((side - wanted) // 2 for side, wanted in zip(x.shape[2:], size, strict=True))
    return x[:, :, top : top + size[0], left : left + size[1]]


def is_one_image(x: Tree) -> bool:
    """Whether an input is a batch of images or other grids of floats: (count, channels, height, width)."""
    return isinstance(x, Tensor) and x.dim() == 4 and x.is_floating_point()
