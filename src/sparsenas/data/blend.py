"""Training images that are two images at once, and count for the labels of both."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Beta


class Target(NamedTuple):
    """What a batch should be taken for."""

    labels: Tensor
    others: Tensor | None = None
    """The labels of the images that were blended in."""
    share: float = 1.0
    """Of ``labels``; the rest is that of ``others``."""


def blended(x: Tensor, labels: Tensor, mixup: float, cutmix: float) -> tuple[Tensor, Target]:
    """A batch blended by mixup or cutmix with the images before it in the batch, whose order is random already.

    Both numbers are the alpha of Beta(alpha, alpha), from which the share is drawn, one for the whole batch; 0 = not
    at all, both = one or the other, by chance. Everything is drawn from torch's global generator on the processor, so
    that nothing waits for a device.
    """
    if mixup <= 0 and cutmix <= 0:
        return x, Target(labels)
    cut = cutmix > 0 and (mixup <= 0 or bool(torch.rand(()) < 0.5))
    alpha = cutmix if cut else mixup
    share = float(Beta(alpha, alpha).sample())
    x, share = cut_in(x, share) if cut else (x.lerp(x.roll(1, 0), 1 - share), share)
    return x.contiguous(memory_format=torch.channels_last), Target(labels, labels.roll(1, 0), share)


def cut_in(x: Tensor, share: float) -> tuple[Tensor, float]:
    """Puts a box of every image into the next one (CutMix, Yun et al., 2019), at the same place.

    The box has about ``1 - share`` of the area; its centre is drawn over the whole image, so a part may fall off.
    Returns the share of its own that an image keeps.
    """
    height, width = x.shape[2:]
    side = (1 - share) ** 0.5
    (top, bottom), (left, right) = (_span(size, side) for size in (height, width))
    x = x.clone()
    x[:, :, top:bottom, left:right] = x[:, :, top:bottom, left:right].roll(1, 0)
    return x, 1 - (bottom - top) * (right - left) / (height * width)


def _span(size: int, side: float) -> tuple[int, int]:
    """From where to where a box reaches along one dimension."""
    centre, half = int(torch.randint(size, ())), int(size * side) // 2
    return max(0, centre - half), min(size, centre + half)
