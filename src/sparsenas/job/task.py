"""What is searched: a space, on data, within limits. Nothing here knows files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.derive import derive
from sparsenas.core.gate import Gates, choices
from sparsenas.costs import COSTS, ON_REQUEST, Limits
from sparsenas.costs.budget import Bound, read_bounds
from sparsenas.costs.latency import LATENCY, LatencyTable
from sparsenas.data import Data
from sparsenas.errors import UserError
from sparsenas.job.build import build_data, build_objective, build_space, preprocessing
from sparsenas.job.entry import admitted, checked_targets
from sparsenas.job.limits import limits_at, more_costs
from sparsenas.job.plugin import Plugin
from sparsenas.nn.fresh import reset
from sparsenas.objectives import Objective
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.rundir.progress import told_if_slow
from sparsenas.rundir.seeds import seed_of
from sparsenas.searching.config import Scoring
from sparsenas.searching.connection import Connection
from sparsenas.searching.eval_batches import EvalBatches, make_eval_batches
from sparsenas.searching.expressivity import Expressivity
from sparsenas.searching.population_evaluator import Say, Scorer
from sparsenas.searching.prior import Prior, no_prior

EVAL_IMAGES = "exam"
"""Purpose of the seed that picks the examples candidates are scored on. Another word would pick other examples."""
PRIOR, PRIOR_EXAMPLES, SIZE = "prior", 64, "flops"
"""Purpose of the seed of the prior, its number of training examples (as published), and its cost."""
OPENS = "`--space open --space.net package.module:callable`"
PLAIN = f"sparsenas.open(net, example), on the command line {OPENS}, opens a plain one"
FEW = 16
"""Examples per batch on which a network is tried before it is trained."""


@dataclass(frozen=True)
class Task:
    """A space, the data, the objective, and the limits of the final network."""

    space: Plugin
    target: Plugin
    """The space at the size of the final network; costs and limits are those of that size."""
    data: Data
    choices: Choices
    limits: Limits
    objective: Objective
    seed: int
    latency: LatencyTable | None = None
    bounds: tuple[Bound, ...] = ()
    """The budgets as they were written, of which some may be in percent."""

    def network(self, purpose: str, space: Plugin | None = None) -> nn.Module:
        """A supernet, of ``target`` say, with fresh weights that follow from the seed and the purpose."""
        torch.manual_seed(seed_of(self.seed, purpose))
        return self.data.laid_out_weights(build_space(space or self.space, self.data, self.objective.outputs))

    @property
    def opened(self) -> OpenedNetwork | None:
        """The opened network of the costs, where a plain network is searched; ``None`` for any other space."""
        net = self.limits.table.net
        return net if isinstance(net, OpenedNetwork) else None

    def original(self) -> nn.Module:
        """The plain network that was opened, with its own weights, in eval mode on the device of the data."""
        net = build_space(self.space, self.data, self.objective.outputs)
        assert isinstance(net, OpenedNetwork)
        return self.data.laid_out_weights(net.net.to(self.data.device)).eval()

    def largest(self) -> Arch:
        """The architecture of an opened network at full size."""
        assert self.opened is not None
        return Arch(self.choices, self.opened.largest())

    def weights_checksum(self) -> str | None:
        """The SHA-256 of the weights of the network that was opened; ``None`` for any other space."""
        if self.opened is None:
            return None
        sums = hashlib.sha256()
        for name, tensor in self.original().state_dict().items():
            sums.update(name.encode())
            sums.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return sums.hexdigest()

    def plain(self, arch: Arch, purpose: str, weights: Gates | None = None) -> nn.Module:
        """The network of an architecture with fresh weights, at the target's size; ``weights`` are its options'."""
        net = derive(self.network(purpose, self.target), weights or arch.gates())
        return net if self.opened is None else reset(net)

    def costs(self, arch: Arch) -> dict[str, float]:
        """The exact costs of an architecture."""
        return self.limits.table.exact(arch)

    def eval_batches(self, scoring: Scoring) -> EvalBatches:
        """The examples candidates are scored on."""
        seed = seed_of(self.seed, EVAL_IMAGES)
        return make_eval_batches(self.data, scoring.calibration, scoring.val, scoring.batch, seed)

    def scorer(self, net: nn.Module, scoring: Scoring, say: Say = lambda line: None) -> Scorer:
        """Scores candidates on the weights of a supernet; ``say`` takes lines for the user."""
        return Scorer(net, self.eval_batches(scoring), self.objective, scoring.cache_memory * 2**20, say)

    def prior(self, scoring: Scoring) -> Prior:
        """What is expected of candidates without any training: their multiply-adds and, if wanted, their expressivity.

        Raises ``UserError`` for a network whose features cannot be looked at.
        """
        if scoring.prior == 0:
            return no_prior
        if not scoring.expressivity:
            return lambda archs: self.limits.table(archs)[SIZE][None]
        seed = seed_of(self.seed, PRIOR)
        inputs = make_eval_batches(self.data, PRIOR_EXAMPLES, 1, PRIOR_EXAMPLES, seed).calibration[0]
        expressivity = Expressivity(self.network(PRIOR).to(self.data.device), inputs)
        return lambda archs: np.array([self.limits.table(archs)[SIZE], expressivity(archs)])

    def connection(self) -> Connection:
        """Tells which architectures have outputs that depend on their inputs."""
        inputs = make_eval_batches(self.data, 2, 1, 2, seed_of(self.seed, PRIOR)).calibration[0]
        with torch.random.fork_rng(devices=[]):
            return Connection(self.network(PRIOR).to(self.data.device), inputs)

    def check_scoring(self, scoring: Scoring) -> None:
        """Runs some architectures as a search will, before any training. Raises ``UserError``."""
        few = min(scoring.calibration, FEW * 2), FEW * 2, min(scoring.batch, FEW)
        batches = make_eval_batches(self.data, *few, seed_of(self.seed, EVAL_IMAGES))
        rng = np.random.default_rng(0)
        archs = [Arch.sample(self.choices, rng) for _ in range(3)]
        with torch.random.fork_rng(devices=[]):
            net = self.network("supernet").to(self.data.device)
            scorer = Scorer(net, batches, self.objective)
            scorer.way(list(dict.fromkeys(archs)))
            self.prior(scoring)(archs[:1])
            scoring.score(self.objective, scorer(archs[:1])[0])


def make_task(
    space: Plugin,
    data: Plugin,
    objective: Plugin,
    budget: Sequence[str],
    seed: int,
    device: torch.device,
    target: Mapping[str, Any] | None = None,
    latency: LatencyTable | None = None,
    cost: Sequence[str] = (),
    say: Say = lambda line: None,
    begun: bool = False,
) -> Task:
    """Builds the data, the objective and the space, and checks that the budgets can be met. Raises ``UserError``.

    ``target`` are the flags of the space that differ in the final network; ``say`` takes lines of progress. Of a
    run that has ``begun`` it was checked before that its parts fit together and its budgets can be met.
    """
    own = more_costs(cost, budget)
    bounds = read_bounds(budget, dict.fromkeys([*COSTS, *ON_REQUEST, *own, *([] if latency is None else [LATENCY])]))
    with told_if_slow(say, f"prepare: reading the data {data.name}"):
        examples = build_data(data, seed, preprocessing(space)).to(device)
    task = build_objective(objective, examples)
    examples = checked_targets(examples, task)
    torch.manual_seed(seed_of(seed, "supernet"))  # the initial weights of a network that is opened
    net = build_space(space, examples, task.outputs)
    searched = choices(net)
    if not searched:
        raise UserError(f"--space {space.name}: expected a network with at least one choice, found none; {PLAIN}")
    with told_if_slow(say, f"prepare: trying a batch in networks of the space {space.name}"):
        examples = admitted(space, net, examples, task, begun)
    final = replace(space, flags={**space.flags, **(target or {})})
    if final != space:
        admitted(final, build_space(final, examples, task.outputs), examples, task)
    with told_if_slow(say, "prepare: counting costs"):
        limits = limits_at(final, examples, task.outputs, searched, bounds, latency, own, check=not begun)
    return Task(space, final, examples, searched, limits, task, seed, latency, tuple(bounds))
