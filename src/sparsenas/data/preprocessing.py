"""The images that a trained network expects, and how an image becomes the input of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sparsenas.data.dataset import Data


@dataclass(frozen=True)
class Preprocessing:
    """How the images were prepared that a network was trained on; ``None`` where nobody knows."""

    size: tuple[int, int] | None = None
    """Height and width in pixels."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel, of pixels within 0..1."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel."""

    def flags(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The flags of a data set of images that follow from it, where they are not given."""
        return {"size": self.size} if self.size and given.get("size") is None else {}

    def applied(self, data: Data) -> Data:
        """The data with its mean and standard deviation, where images are normalised; grey ones with those of grey."""
        if data.mean is None or self.mean is None or self.std is None:
            return data
        mean, std = self.mean, self.std
        if len(data.mean) == 1:
            mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
        return replace(data, mean=mean, std=std) if len(mean) == len(data.mean) else data


def preparation(data: Data) -> dict[str, Any]:
    """How an image becomes the network's input, as plain values; ``None`` for what is not done.

    ``resize``: height and width to which its largest centre crop of that form is resized; ``crop``: those of the centre
    crop of the result; then pixels within 0..1 are normalised with the ``mean`` and ``std`` of each channel.
    """
    resize = None if data.crop is None else data.train.example.shape[-2:]
    steps = {"resize": resize, "crop": data.crop, "mean": data.mean, "std": data.std}
    return {name: None if value is None else list(value) for name, value in steps.items()}
