"""Scores of unusual networks are those of the slow reference, or the network is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import odd_nets as odd
from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.gate import choices
from sparsenas.core.join import Join
from sparsenas.data.sources.digits import digits
from sparsenas.errors import UserError
from sparsenas.job.jobs import search_job
from sparsenas.job.plugin import Plugin
from sparsenas.job.run_flags import SearchFlags
from sparsenas.objectives import Classification
from sparsenas.searching.config import Scoring
from sparsenas.searching.eval_batches import EvalBatches, make_eval_batches
from sparsenas.searching.population_evaluator import Scorer
from sparsenas.searching.prefix_sharing import PrefixSharing
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


WHOLE, SLOW = "share nothing", "one by one"
SERVED = [
    (odd.usual, "", 5),
    (odd.norm_twice, "", 1),
    (odd.block_twice, "", 1),
    (odd.twice_inside, "", 5),
    (odd.hook_on_the_network, "", 1),
    (odd.hook_on_a_norm, "", 5),
    (odd.hook_on_an_option, "", 5),
    (odd.own_forward, "", 1),
    (odd.wrong_order, WHOLE, 1),
    (odd.missing_part, WHOLE, 1),
    (odd.tied, "", 5),
    (odd.parametrized, "", 5),
    (odd.counter, SLOW, 0),
    (odd.late_counter, SLOW, 0),
    (odd.branch, "", 5),
    (odd.held_method, "", 5),
    (odd.kept, "", 5),
    (odd.more_than_a_tensor, "", 5),
    (odd.looks_inside, WHOLE, 1),
    (odd.single_precision, "", 5),
    (odd.scripted, "", 4),
    (odd.volume, "", 3),
    (odd.Viewed, "", 1),
]


@pytest.mark.parametrize(("make", "told", "segments"), SERVED)
def test_scores_are_those_of_the_reference(
    make: type[nn.Module], told: str, segments: int, batches: EvalBatches
) -> None:
    """Where sharing would change them, less is shared, and one line says so."""
    torch.manual_seed(0)
    net, lines = shaken(make()), []
    archs = six(net)
    scorer = Scorer(net, batches, CLASSES, 2**20, lines.append)
    before = torch.get_rng_state()
    ours = [score for part in (archs[:1], archs[1:]) for score in scorer(part)]
    assert torch.equal(torch.get_rng_state(), before)
    reference = slowly(net, archs, batches)
    assert [score["accuracy"] for score in ours] == [score["accuracy"] for score in reference]
    assert np.allclose([score["loss"] for score in ours], [score["loss"] for score in reference], rtol=1e-5)
    assert len({score["loss"] for score in reference}) > 1
    assert [told in line for line in lines] == [True] * bool(told)
    way = scorer.way(archs)
    assert (len(way.trie.segments) if isinstance(way, PrefixSharing) else 0) == segments


def test_a_network_in_double_precision_gets_such_inputs(batches: EvalBatches) -> None:
    torch.manual_seed(0)
    net = shaken(odd.doubled())
    archs = six(net)
    ours, reference = Scorer(net, batches, CLASSES)(archs), slowly(net, archs, batches.to(torch.double))
    assert np.allclose([score["loss"] for score in ours], [score["loss"] for score in reference], rtol=1e-12)


def test_what_a_network_draws_at_random_depends_on_the_candidate_alone(batches: EvalBatches) -> None:
    net, lines = odd.random(), []
    archs = six(net)
    scorer = Scorer(net, batches, CLASSES, 0, lines.append)
    together = scorer(archs)
    assert [scorer([arch])[0] for arch in archs[::-1]] == together[::-1]
    assert SLOW in "".join(lines)
    assert len(lines) == 1


class Sometimes(nn.Module):
    """Works in place on all batches but the first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(-1) if float(x.detach().sum()) > 0 else x * 2


def test_an_input_that_is_changed_only_sometimes_is_not_lost() -> None:
    """The first batch, on which the ways are compared, does not show it."""
    torch.manual_seed(0)
    data = [-torch.rand(8, *odd.SHAPE), torch.rand(8, *odd.SHAPE), torch.rand(8, *odd.SHAPE)]
    batches = EvalBatches((), tuple((x, torch.randint(0, 10, (8,))) for x in data))
    ops = {name: nn.Sequential(Sometimes(), nn.Conv2d(1, 8, 3)) for name in "abc"}
    net = nn.Sequential(
        nn.Identity(), Join.of("a", {"x": nn.Identity(), "y": nn.ReLU()}), Join.of("b", ops), *odd.head()
    )
    archs = list(every_arch(choices(net)))
    kept = [x.clone() for x in data]
    ours, reference = Scorer(net, batches, CLASSES, 2**20)(archs), slowly(net, archs, batches)
    assert all(torch.equal(x, y) for x, y in zip(data, kept, strict=True))
    assert np.allclose([score["loss"] for score in ours], [score["loss"] for score in reference], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (odd.hook_on_a_choice, r"^3 \(choice 'a'\): expected no forward hook"),
        (odd.scripted_norm, r"^1: expected no scripted batch norm"),
        (odd.lazy, r"^0 \(LazyConv2d\): expected a layer with a shape"),
        (odd.listed, r"^expected a supernet whose networks can be taken out of it"),
    ],
)
def test_what_cannot_be_served_is_refused(make: type[nn.Module], message: str, batches: EvalBatches) -> None:
    net = make()
    with pytest.raises(UserError, match=message):
        Scorer(net, batches, CLASSES)(six(net))


@pytest.mark.parametrize(("make", "calibration"), [(odd.hook_on_a_choice, 64), (odd.listed, 64), (odd.one_value, 1)])
def test_a_search_refuses_them_before_it_trains(make: type[nn.Module], calibration: int, tmp_path: Path) -> None:
    scoring = Scoring(calibration=calibration)
    flags = SearchFlags(space=Plugin.of(make), data=Plugin("digits"), out=tmp_path / "run", score=scoring)
    with pytest.raises(UserError):
        search_job(flags)
    assert not (tmp_path / "run").exists()
