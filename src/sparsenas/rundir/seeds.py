"""Seeds derived from the seed of a run."""

from __future__ import annotations

import zlib

import numpy as np


def seed_of(seed: int, *purpose: str | int) -> int:
    """The seed for one purpose; seeds for different purposes are independent."""
    words = [seed, *(zlib.crc32(str(part).encode()) for part in purpose)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
