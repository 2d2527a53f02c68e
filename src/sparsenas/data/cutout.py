"""Blanking a square of every image."""

from __future__ import annotations

import torch
from torch import Tensor


def cutout(x: Tensor, side: int) -> Tensor:
    """A batch of images with a square of ``side`` pixels set to 0 in each (DeVries and Taylor, 2017).

    Its centre is drawn uniformly over the image, so the square may reach beyond the edge. On normalised images 0 is
    the mean.
    """
    inside = torch.ones(len(x), 1, 1, 1, dtype=torch.bool, device=x.device)
    for dim in (2, 3):
        size = x.shape[dim]
        centre = torch.randint(size, (len(x), 1, 1, 1), device=x.device)
        along = torch.arange(size, device=x.device).view([-1 if d == dim else 1 for d in range(4)])
        offset = along - centre + side // 2
        inside = inside & (offset >= 0) & (offset < side)
    return x.masked_fill(inside, 0)
