"""A Pareto front by evolution against random searches of equal cost, on one trained supernet.

    python experiments/pareto.py runs/demo --cost flops --evaluations 1050 --searches 10

Every search starts from its own seed and may score equally many architectures. Prints the hypervolume of each front
below error 1 and the dearest cost, as a share of the whole rectangle.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import torch
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.job.folder import open_task
from sparsenas.job.stages.candidates import architectures
from sparsenas.searching.evolution import Evolution, RandomSearch, Score, Search
from sparsenas.searching.pareto import crowded, front, hypervolume, objectives
from sparsenas.searching.population_evaluator import Scorer


def main() -> None:
    """Runs all searches and compares their fronts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder with supernet.pt")
    parser.add_argument("--cost", default="flops")
    parser.add_argument("--evaluations", type=int, default=1050)
    parser.add_argument("--searches", type=int, default=10)
    flags = parser.parse_args()
    torch.set_num_threads(1)

    run, task, saved, _ = open_task(flags.run, torch.device("cpu"))
    net = task.network("supernet")
    net.load_state_dict(run.load("supernet.pt")["net"])
    scorer, known = Scorer(net, task.eval_batches(saved.score), task.objective), dict[Arch, Score]()
    space = architectures(task.limits)
    dearest = float(task.limits.table([task.limits.table.extremes(flags.cost)[1]])[flags.cost][0])

    def cost_of(archs: list[Arch]) -> NDArray[np.float64]:
        return task.limits.table(archs)[flags.cost]

    def area(search: Search) -> tuple[float, int]:
        while archs := search.ask():
            new = [arch for arch in archs if arch not in known]
            scores = [saved.score.score(task.objective, metrics) for metrics in (scorer(new) if new else [])]
            known.update(zip(new, scores, strict=True))
            search.tell(archs, [known[arch] for arch in archs])
        points = objectives(search.scores, cost_of)
        best = front(search.scores, cost_of)
        kept = objectives({arch: search.scores[arch] for arch in best}, cost_of)
        dominated = [(points <= point).all(1) & (points < point).any(1) for point in kept]
        assert not np.any(dominated), "a point of the front is dominated"
        return hypervolume(points, [0.0, dearest]) / dearest, len(best)

    parents = min(50, flags.evaluations // 21)
    found = {"evolution": [], "random": []}
    for seed in range(flags.searches):
        population = flags.evaluations // 21
        half = population // 2
        evolution = Evolution(
            space, np.random.default_rng([seed, 0]), population, 20, parents, half, half, 0.1, crowded(cost_of)
        )
        for name, search in (
            ("evolution", evolution),
            ("random", RandomSearch(space, np.random.default_rng([seed, 1]), population * 21)),
        ):
            share, size = area(search)
            found[name].append(share)
            print(f"{name:<10} seed {seed}: front of {size:>2}, hypervolume {share:.5f}", flush=True)
    for name, shares in found.items():
        print(f"{name:<10} mean {statistics.fmean(shares):.5f}, least {min(shares):.5f}, greatest {max(shares):.5f}")


if __name__ == "__main__":
    main()
