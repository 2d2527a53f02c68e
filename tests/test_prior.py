"""The prior of candidates: expressivity, and scores combined with it by ranks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.real_runs import CPU, QUICK, command
from torch import Tensor, nn

from sparsenas.__main__ import main
from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.choice import Choice
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.join import Join
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin
from sparsenas.job.task import make_task
from sparsenas.rundir.folder import Run
from sparsenas.rundir.ranking import Ranking
from sparsenas.rundir.records import ARCHS as SCORES
from sparsenas.rundir.records import Scored
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import Score, best_first
from sparsenas.searching.expressivity import SMALL, Expressivity, entropy
from sparsenas.searching.prior import no_prior, with_prior

CHOICES = {"a": Choice("a", ("0", "1", "2")), "b": Choice("b", ("0", "1", "2"))}
ARCHS = list(every_arch(CHOICES))
NUMBERS = st.lists(st.integers(0, 5), min_size=len(ARCHS), max_size=len(ARCHS))


def scores(values: list[int]) -> dict[Arch, Score]:
    return {arch: Score(float(value)) for arch, value in zip(ARCHS, values, strict=True)}


def by_hand(features: Tensor) -> float:
    """The definition, position by position."""
    rows = [features[i, :, y, x] for i in range(len(features)) for y in range(3) for x in range(2)]
    covariance = torch.cov(torch.stack(rows).double().T, correction=0)
    shares = torch.linalg.eigvalsh(covariance) / covariance.trace()
    return -sum(float(share) * math.log(max(float(share), 0) + SMALL) for share in shares)


def test_entropy_is_that_of_the_definition() -> None:
    features = torch.randn(5, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    assert entropy(features) == pytest.approx(by_hand(features), abs=1e-9)
    assert entropy(torch.ones(5, 4, 3, 2)) == 0.0
    one = torch.randn(50, 1, 2, 2).expand(50, 4, 2, 2)
    assert entropy(one) == pytest.approx(0, abs=1e-6)
    assert entropy(torch.randn(5000, 4, 2, 2)) == pytest.approx(math.log(4), abs=1e-2)


def test_a_wider_bottleneck_is_more_expressive() -> None:
    def through(channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(8, channels, 1), nn.Conv2d(channels, 8, 1))

    net = nn.Sequential(Join.of("first", {"1": through(1), "4": through(4)}), Join.of("last", {"0": nn.Identity()}))
    archs, x = list(every_arch(choices(net))), torch.randn(16, 8, 4, 4)
    torch.manual_seed(0)
    narrow, wide = Expressivity(net, x)(archs)
    assert narrow < wide
    set_gates(net, archs[1].gates())
    assert wide == pytest.approx(2 * entropy(net[0](x).detach()))


def test_a_network_of_one_part_is_refused() -> None:
    with pytest.raises(UserError, match="--score.prior: expected 0"):
        Expressivity(Join.of("only", {"a": nn.Linear(2, 2), "b": nn.Identity()}), torch.randn(4, 2))


@given(NUMBERS, NUMBERS, NUMBERS, st.sampled_from([0.5, 1.0, 2.0]))
def test_scores_and_prior_are_combined_by_logarithms_of_ranks(
    values: list[int], first: list[int], second: list[int], weight: float
) -> None:
    found = with_prior(scores(values), lambda archs: np.array([first, second], dtype=float), weight)
    n = len(ARCHS)
    for i, arch in enumerate(ARCHS):
        ranks = [float(stats.rankdata(one)[i]) / n for one in (values, first, second)]
        assert found[arch].value == pytest.approx(math.log(ranks[0]) + weight * (math.log(ranks[1] * ranks[2])))
        assert found[arch].tie == values[i]


@given(NUMBERS)
def test_without_a_prior_the_order_is_that_of_the_scores(values: list[int]) -> None:
    some = scores(values)
    assert Scoring().adjusted(some) == some
    assert best_first(with_prior(some, no_prior, 1.0), 9) == best_first(some, 9)


def test_a_run_searches_and_ranks_with_the_prior(tmp_path: Path) -> None:
    out = tmp_path / "run"
    flags = ["--space.width=4", "--search.epochs=1", "--score.val=60", "--score.prior=1", *QUICK, *CPU]
    command("search", "--out", out, "--budget", "flops<=40e3", *flags)
    scored = Run(out).lines(SCORES, Scored)
    (tmp_path / "table.csv").write_text("arch,accuracy\n" + "".join(f"{s.text},{i}\n" for i, s in enumerate(scored)))
    command("rank", out, "--table", tmp_path / "table.csv", "--calibration=64", *CPU)
    assert "loss, with the prior" in {measure.by for measure in Run(out).read(Ranking).measures}


def test_the_prior_may_have_multiply_adds_alone() -> None:
    task = make_task(Plugin("nasbench_macro"), Plugin("digits"), Plugin("classification"), [], 0, torch.device("cpu"))
    archs = [Arch.sample(task.choices, np.random.default_rng(i)) for i in range(5)]
    both = task.prior(Scoring(prior=1.0))(archs)
    alone = task.prior(Scoring(prior=1.0, expressivity=False))(archs)
    assert both.shape == (2, 5)
    assert alone.tolist() == both[:1].tolist() == [[task.limits.table.exact(arch)["flops"] for arch in archs]]


def test_a_wrong_weight_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--score.prior=-1", "--out", str(tmp_path / "new")]) == 2
    assert "--score.prior: expected 0 <= prior < infinity, got -1.0" in capsys.readouterr().err
