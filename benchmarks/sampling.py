"""How many paths a second uniform constraint sampling accepts: SPOS's seven bins over 290 to 360 M multiply-adds."""

from __future__ import annotations

import statistics
import time

import numpy as np

from sparsenas.costs import CostTable
from sparsenas.methods.spos.sampling import Bins, BinSampler
from sparsenas.spaces import shufflenet

BINS = Bins("flops", 290e6, 360e6, 7)
PATHS = 20_000
ROUNDS = 5


def main() -> None:
    """Prints the median rate, in one thread, and how many paths are drawn for one that is accepted."""
    table = CostTable(shufflenet(), (3, 224, 224))
    sampler = BinSampler(table, BINS, np.random.default_rng(0))
    rates, counts = [], np.zeros(BINS.number, dtype=int)
    for _ in range(ROUNDS):
        start = time.process_time()
        paths = [sampler.draw() for _ in range(PATHS)]
        rates.append(PATHS / (time.process_time() - start))
        counts += np.bincount(BINS.of(table(paths)["flops"]), minlength=BINS.number)
    print(
        f"{BINS}: {statistics.median(rates):,.0f} paths a processor second (min {min(rates):,.0f}, "
        f"max {max(rates):,.0f}), {sampler.drawn / sampler.accepted:.1f} drawn for one; in the bins: {counts.tolist()}"
    )


if __name__ == "__main__":
    main()
