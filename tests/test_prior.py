"""The prior of candidates: expressivity, and scores combined with it by ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.join import Join
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin
from sparsenas.job.task import make_task
from sparsenas.nn.clone import deep_copy
from sparsenas.rundir.folder import Run
from sparsenas.rundir.ranking import Ranking
from sparsenas.rundir.records import ARCHS as SCORES
from sparsenas.rundir.records import Scored
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import Score, best_first
from sparsenas.searching.expressivity import SMALL, Expressivity, entropy
from sparsenas.searching.gradient import EXAMPLES, Gradient, at_equal_cost
from sparsenas.searching.prior import no_prior, untrained, with_prior

CHOICES = {"a": Choice("a", ("0", "1", "2")), "b": Choice("b", ("0", "1", "2"))}
ARCHS = list(every_arch(CHOICES))


def no_cost(archs: Sequence[Arch]) -> list[float]:
    return [0.0] * len(archs)


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


def test_the_gradient_is_that_of_the_plain_network() -> None:
    def through(channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, channels, 1), nn.ReLU(), nn.Conv2d(channels, 3, 1), nn.BatchNorm2d(3))

    net = nn.Sequential(Join.of("first", {"1": through(1), "4": through(4)}), nn.Flatten(), nn.Linear(12, 5))
    archs, x = list(every_arch(choices(net))), torch.randn(40, 3, 2, 2)
    untrained(net)
    for arch, found in zip(archs, map(Gradient([net], x, no_cost).log_size, archs), strict=True):
        plain = derive(net, arch.gates()).train()
        torch.manual_seed(0)
        signs = torch.where(torch.rand(EXAMPLES, 5) < 0.5, 1.0, -1.0)
        outputs = plain(x[:EXAMPLES]).flatten()
        sum(sign * y for sign, y in zip(signs.flatten(), outputs, strict=True)).backward()
        gradient = [
            float(value) for weight in plain.parameters() if weight.grad is not None for value in weight.grad.flatten()
        ]
        assert found == pytest.approx(math.log(math.hypot(*gradient) / math.hypot(*outputs.tolist())), abs=1e-4)


def test_skip_connections_keep_the_gradient_small() -> None:
    class Block(nn.Module):
        def __init__(self, skips: bool) -> None:
            super().__init__()
            self.convolution, self.skips = nn.Conv2d(8, 8, 3, padding=1, bias=False), skips
            self.norm = nn.BatchNorm2d(8)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(self.convolution(x.relu()))
            return x + y if self.skips else y

    def stack(skips: bool) -> nn.Module:
        return nn.Sequential(*(Block(skips) for _ in range(8)))

    both = Join.of("stack", {"plain": stack(False), "skips": stack(True)})
    net = nn.Sequential(both, nn.Flatten(), nn.Linear(128, 3))
    torch.manual_seed(0)
    plain, skips = Gradient([untrained(net)], torch.randn(16, 8, 4, 4), no_cost)(list(every_arch(choices(net))))
    assert skips > plain + math.log(1.5)


def test_the_mean_of_several_draws_counts_and_one_without_a_gradient_is_the_worst() -> None:
    net = Join.of("only", {"layer": nn.Linear(3, 2), "none": nn.Identity()})
    archs, x = list(every_arch(choices(net))), torch.randn(16, 3)
    draws = [untrained(deep_copy(net)) for _ in range(3)]
    one = [Gradient([draw], x, no_cost).log_size(archs[0]) for draw in draws]
    both = Gradient(draws, x, no_cost)
    assert both.log_size(archs[0]) == pytest.approx(sum(one) / 3)
    assert both(archs).tolist() == [0.0, -math.inf]


@given(st.lists(st.floats(1, 1e9), min_size=3, max_size=9), st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 2**31))
def test_values_at_equal_cost_are_what_a_straight_line_leaves(
    costs: list[float], slope: float, offset: float, seed: int
) -> None:
    line = offset + slope * np.log1p(costs)
    assert at_equal_cost(line, costs) == pytest.approx(0, abs=1e-6)
    noise = np.random.default_rng(seed).normal(size=len(costs))
    x = np.stack([np.ones(len(costs)), np.log1p(costs)], 1)
    assert at_equal_cost(noise, costs) == pytest.approx(noise - x @ np.linalg.lstsq(x, noise)[0], abs=1e-4)
    assert at_equal_cost([*line, math.inf], [*costs, 5.0]).tolist()[-1] == math.inf


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
    three = task.prior(Scoring(prior=1.0, gradient=True))(archs)
    assert both.shape == (2, 5)
    assert three.shape == (3, 5)
    assert three[:2].tolist() == both.tolist()
    assert three[2].sum() == pytest.approx(0, abs=1e-6)
    assert alone.tolist() == both[:1].tolist() == [[task.limits.table.exact(arch)["flops"] for arch in archs]]


def test_a_wrong_weight_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--score.prior=-1", "--out", str(tmp_path / "new")]) == 2
    assert "--score.prior: expected 0 <= prior < infinity, got -1.0" in capsys.readouterr().err
