"""Strides of networks for large images, adapted to small images."""

from __future__ import annotations

from collections.abc import Sequence

SMALLEST = 4
"""No stride may leave the shorter side of the image with fewer pixels than this."""


def kept_strides(shape: tuple[int, int, int], strides: Sequence[int]) -> list[int]:
    """The strides (1 or 2, in order) of a network on images of ``shape``.

    Every halving must leave ``SMALLEST`` pixels along the shorter side. If some halvings do not fit, the first ones are
    left out, as is common for small images. All five halvings of a network for 224x224 (which leave 7x7) are kept from
    97 pixels on, the last three at 32x32 and the last one at 8x8 (each leaving 4x4).
    """
    pixels, possible = min(shape[1:]), 0
    while (pixels := -(-pixels // 2)) >= SMALLEST:
        possible += 1
    dropped = max(0, strides.count(2) - possible)
    return [1 if stride == 2 and strides[:i].count(2) < dropped else stride for i, stride in enumerate(strides)]
