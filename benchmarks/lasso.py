"""The eight lasso problems of one epoch of ISTA-NAS on the DARTS space: how long, and how exact.

Then how often each dictionary recovers a random pair: the two largest of z are those that b was made of.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from sparsenas.methods.ista.codes import Dictionary, draw_dictionary
from sparsenas.methods.ista.lasso import lasso, violation

OPTIONS = (14, 21, 28, 35) * 2
DIMENSION = 7
WEIGHT = 1e-5
ROUNDS = 50
PAIRS = 500


def main() -> None:
    """Prints the median time of all eight problems and the largest violation of the optimality conditions."""
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1e-1, 1.0):
        times, worst = [], 0.0
        for _ in range(ROUNDS):
            problems = [(rng.random((DIMENSION, n)), scale * rng.standard_normal(DIMENSION)) for n in OPTIONS]
            start = time.process_time()
            solutions = [lasso(a, b, WEIGHT) for a, b in problems]
            times.append(1e3 * (time.process_time() - start))
            worst = max(worst, *(violation(a, b, WEIGHT, z) for (a, b), z in zip(problems, solutions, strict=True)))
        print(f"b of size {scale:<5g} eight nodes in {statistics.median(times):.2f} ms "
              f"(min {min(times):.2f}, max {max(times):.2f}), conditions missed by {worst:.1e} at most")  # fmt: skip
    for kind in ("uniform", "tight"):
        rates = [f"{100 * recovered(kind, n):.0f} % of {n}" for n in sorted(set(OPTIONS))]
        print(f"dictionary {kind:<7} recovers {', '.join(rates)} options")


def recovered(kind: Dictionary, options: int) -> float:
    """The share of random pairs, of normal numbers, that the solution for their image names; a new dictionary each."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(PAIRS):
        a, pair = draw_dictionary(kind, DIMENSION, options, rng), rng.choice(options, 2, replace=False)
        b = a[:, pair] @ rng.standard_normal(2)
        hits += set(np.argsort(-np.abs(lasso(a, b, WEIGHT)))[:2]) == set(pair)
    return hits / PAIRS


if __name__ == "__main__":
    main()
