"""Scores of unusual networks are those of the slow reference, or the network is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import odd_nets as odd
from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.data.sources.digits import digits
from sparsenas.objectives import Classification
from sparsenas.searching.eval_batches import EvalBatches, make_eval_batches
from sparsenas.searching.population_evaluator import Scorer
from sparsenas.searching.reference import reference_outputs
from sparsenas.testing import shaken

CLASSES = Classification(10)


@pytest.fixture(scope="module")
def batches() -> EvalBatches:
    return make_eval_batches(digits(), 96, 64, 32, 0)


def six(net: nn.Module) -> list[Arch]:
    rng = np.random.default_rng(0)
    return list(dict.fromkeys(Arch.sample(choices(net), rng) for _ in range(6)))


def slowly(net: nn.Module, archs: list[Arch], batches: EvalBatches) -> list[dict[str, float]]:
    inputs = [x for x, _ in batches.val_batches]
    outputs = [reference_outputs(net, arch, batches.calibration, inputs) for arch in archs]
    pairs = [zip(some, batches.val_batches, strict=True) for some in outputs]
    return [CLASSES.result(sum(CLASSES.sums(output, labels) for output, (_, labels) in some)) for some in pairs]


@pytest.mark.parametrize(
    "make", [odd.norm_twice, odd.block_twice, odd.twice_inside, odd.hook_on_the_network, odd.hook_on_a_norm]
)
def test_whatever_runs_twice_or_has_hooks_scores_as_in_the_reference(
    make: type[nn.Module], batches: EvalBatches
) -> None:
    torch.manual_seed(0)
    net = shaken(make())
    archs = six(net)
    ours, reference = Scorer(net, batches, CLASSES, 2**20)(archs), slowly(net, archs, batches)
    assert [score["accuracy"] for score in ours] == [score["accuracy"] for score in reference]
    assert np.allclose([score["loss"] for score in ours], [score["loss"] for score in reference], rtol=1e-5)
    assert len({score["loss"] for score in reference}) == len(archs)
